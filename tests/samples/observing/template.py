from pathlib import Path

from hello_cs import ex

from sacred.observers import FileStorageObserver

Path("custom").mkdir()
Path("custom/template.txt").write_text('${run["status"]}: ${config["message"]}\n${cout}')

ex.observers.append(FileStorageObserver("my_runs", template="custom/template.txt"))

ex.run()
