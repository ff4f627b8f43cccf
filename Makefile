# Every target does its whole set-up: Python 3.11 or newer, make and git are enough.
PYTHON ?= python3
PORT ?= 8000
SECONDS ?= 600
SEED ?= 0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.dev-ready
INPUTS := pyproject.toml hatch_build.py requirements/run.txt requirements/build.txt $(shell find frontend -type f -not -path '*/node_modules/*')

.PHONY: run test lint bench abuse bench-plot torture property schema lock clean

run: $(READY)
	$(BIN)/gql-app serve --demo --port $(PORT)

test: $(DEV_READY)
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(DEV_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd examples && ../$(BIN)/mypy --strict --exclude migrations harbour

schema: $(READY)
	$(BIN)/gql-app schema > schema.graphql

bench: $(DEV_READY)
	$(BIN)/python -m benchmarks $(ARGS)

abuse: $(DEV_READY)  ## what a bystander feels while somebody abuses the service (5 minutes)
	$(BIN)/python -m benchmarks.abuse $(ARGS)

bench-plot: $(DEV_READY)  ## docs/images/fanout.svg from the latest results
	$(BIN)/python -m benchmarks.plot

torture: $(DEV_READY)  ## needs PostgreSQL and Redis
	$(BIN)/python -m tests.torture --seconds $(SECONDS) --seed $(SEED)

property: $(DEV_READY)  ## needs PostgreSQL
	$(BIN)/python -m tests.changes.property --seconds $(SECONDS) --seed $(SEED)

lock:  ## refresh the locked versions (needs uv: pip install uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/run.txt pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group build -o requirements/build.txt -c requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group node -o requirements/node.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev -o requirements/dev.txt -c requirements/run.txt -c requirements/build.txt

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(READY): $(INPUTS) | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt -r requirements/build.txt
	@node -e 'process.exit(parseInt(process.versions.node) < 20)' 2>/dev/null && npm --version >/dev/null 2>&1 \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/node.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_READY): requirements/dev.txt $(READY)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

clean:
	rm -rf $(VENV) build dist gql_app/pages/static/graphiql frontend/node_modules
