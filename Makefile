# One entry for everything. `make serve` and `make test` work on a machine with only Python 3.11+, make and a C compiler.
PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
export UV_PYTHON_DOWNLOADS := never
# The tests start some hundreds of processes, each of which would compile the server anew.
unexport PYTHONDONTWRITEBYTECODE

BIN   := $(VENV)/bin
UV    := VIRTUAL_ENV=$(VENV) $(BIN)/uv
LOCK  := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help

.PHONY: help setup serve test check lint bench lock docs clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## make the virtual environment from the hash-pinned lock

$(VENV)/.ready: requirements.lock bootstrap.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r bootstrap.lock
	$(UV) pip sync -q --require-hashes --no-build --compile-bytecode requirements.lock
	$(UV) pip install -q --no-deps --no-build-isolation -e .
	touch $@

serve: setup ## start everything: database, web, worker, demo (ARGS="--port 2024")
	@exec $(BIN)/agenthall serve $(ARGS)

test: setup ## run the tests (ARGS="-k name"; one process for a debugger: ARGS="-n 0 -x --pdb")
	$(BIN)/python -m pytest -n auto --max-worker-restart 2 --no-loadscope-reorder $(ARGS)

check: lint test ## format, lint, types, import directions, docs in step with code, tests

lint: setup
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m cogapp --check README.md docs/*.md

docs: setup ## write the generated parts of the documentation anew
	$(BIN)/python -m cogapp -r README.md docs/*.md

bench: setup ## run the benchmarks, printed as ratios
	$(BIN)/python -m benchmarks $(ARGS)

lock: ## resolve the dependencies anew
	$(BIN)/uv pip compile $(LOCK) --all-extras --group dev -c constraints.txt pyproject.toml -o requirements.lock
	echo "uv==0.13.9" | $(BIN)/uv pip compile $(LOCK) - -o bootstrap.lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
