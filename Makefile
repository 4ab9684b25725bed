# One environment (.venv) for everything; it is made when it is missing, and brought up to date when
# pyproject.toml changes. PYTHON names the interpreter, PYTEST_FLAGS are added to every run of the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/pytest -n 2 $(PYTEST_FLAGS)

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml
	@sh tests/house/environment.sh "$(PYTHON)" $(VENV) -e '.[dev,demo]'
	@touch $@

venv: $(READY)  ## make the environment

lint: $(READY)  ## format, lint, types, import rules, facts about Sacred
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typed/uses.py
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tests.facts

check: lint  ## the same, and the fast tests
	$(PYTEST) -q -m "not server and not slow and not soak"

test: $(READY) servers  ## everything needed, then all tests, with real servers
	$(PYTEST) -m "not soak"

test-local: $(READY)  ## what needs no server
	$(PYTEST) -m "not server and not soak"

MINUTES ?= 10
soak: $(READY) servers  ## the battery for so long, then kills of replayers: make soak MINUTES=60
	SACRED_SOAK_MINUTES=$(MINUTES) $(PYTEST) tests/battery tests/journal/test_bad_input.py tests/sidebyside -m "slow or soak" -o faulthandler_timeout=0 \
		|| status=1; \
	SACRED_SOAK_MINUTES=$(MINUTES) $(PYTEST) tests/replayers/test_sinks.py -m "not soak" -k "killed_replayer or any_history or million or many_runs" -o faulthandler_timeout=0 \
		|| status=1; \
	exit $${status:-0}

# Without the tests that interrupt a process at odd moments: what measures is not made for that (its lock stayed
# taken for ever once), and so slow that the moments fall elsewhere. Nothing is reached by them alone.
coverage: $(READY)  ## branches of the journal that no test takes
	rm -rf .cache/coverage && mkdir -p .cache/coverage
	$(BIN)/coverage run -m pytest -q -n 2 $(PYTEST_FLAGS) tests/journal tests/battery \
		-m "not server and not slow and not soak" -k "not interrupt_loses and not signal_handler"
	$(BIN)/coverage combine -q 2>/dev/null; rm -f .cache/coverage/data.*
	$(BIN)/coverage report

bugbank: $(READY)  ## bugs put into the journal: does a test notice each
	$(BIN)/python tests/bugbank/bank.py $(BUGS)

servers: $(READY)  ## fetch the servers that the tests start, and the peer
	@$(BIN)/python tests/servers/install.py

demo: $(READY)  ## train, kill, look, replay, ask
	@$(BIN)/python examples/demo.py

bench: $(READY)  ## the budgets, beside the peers
	$(BIN)/python benchmarks/run.py --write docs/benchmarks.md

# Without --quiet: what is not said is not counted, and --strict fails on nothing then.
docs: $(READY)  ## the site of docs/ and of the reference, in dist/site: no broken link
	@$(BIN)/python -c "import mkdocs, material, mkdocstrings_handlers.python" 2>/dev/null \
		|| sh tests/house/environment.sh "$(PYTHON)" $(VENV) -e '.[dev,demo,docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	@echo "dist/site/index.html"

format: $(READY)  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove all that was made here; runs stay, except the demo's
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis dist demo_runs

.PHONY: help venv lint check test test-local soak coverage bugbank servers demo bench docs format clean
.DEFAULT_GOAL := help
