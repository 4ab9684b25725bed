"""Import something and tell what came with it: ``importing.py STATEMENT RESULT``."""

import sys
from time import perf_counter

HEAVY = (
    "boto3 click duckdb git matplotlib numpy pandas psutil pyarrow pymongo sqlalchemy tinydb "
    "tensorflow torch watchdog"
)


def main(statement, result):
    code = compile(statement, "<statement>", "exec")
    before = len(sys.modules)
    begin = perf_counter()
    exec(code, {})
    seconds = perf_counter() - begin
    modules = len(sys.modules) - before
    loaded = [name for name in HEAVY.split() if name in sys.modules]
    with open(result, "w") as stream:
        print(seconds, modules, *loaded, file=stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
