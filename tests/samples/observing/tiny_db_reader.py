from sacred.observers import TinyDbReader

reader = TinyDbReader("my_runs")

results = reader.fetch_files(indices=-1)
f = results[0]["sources"]["test_exp.py"]
f.read()

results = reader.fetch_report(indices=-1)
print(results[0])
