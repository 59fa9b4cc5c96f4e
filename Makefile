# fedchain. `make` lists the targets.
#
# GNU make and a POSIX shell. `make demo` needs Python 3.10–3.13 and nothing else; `make test` and `make tools` need
# Node >= 20 as well. PYTHON=… picks the interpreter; an existing .venv is kept as long as it works.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

SHELL := /bin/sh
BIN := .venv/bin
RUN_PYTHON := $(BIN)/python
NODE_MODULES := node_modules/.installed
OLDEST_NODE := 20

# Processes that `make test` runs Python tests in.
WORKERS ?= 2

# What forge says in `make test`: it compiles on one core, while lint leaves the other one free.
FORGE_LOG := build/forge-test.log

# For `make contracts-slither`; pinned, because what it finds depends on it.
SLITHER := 0.11.6

# Options of `make contracts-report`.
ARGS ?=

# Settings of `make demo`; they reach the recipe through the environment, so that paths may hold blanks.
DATA ?=
JOB ?=
CHAIN ?= embedded
REPORT ?= demo-report.json
PYTHON ?=
export DATA JOB CHAIN REPORT PYTHON

# Sets $python to the first candidate that really runs, is in range, and can make a virtual environment.
PICK_PYTHON = \
	in_range='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'; \
	python=''; bare=''; \
	for candidate in $${PYTHON:-python3.13 python3.12 python3.11 python3.10 python3}; do \
		"$$candidate" -c "$$in_range" >/dev/null 2>&1 || continue; \
		if "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then python=$$candidate; break; fi; \
		bare=$${bare:-$$candidate}; \
	done; \
	if [ -z "$$python" ] && [ -n "$$bare" ]; then \
		version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "error: $$bare cannot make a virtual environment (no ensurepip): install the package" \
			"python$$version-venv (or python3-venv), for example: apt install python$$version-venv" >&2; \
		exit 1; \
	fi; \
	if [ -z "$$python" ]; then \
		if [ -n "$$PYTHON" ]; then what="PYTHON=$$PYTHON does not run, or is not Python 3.10 to 3.13"; \
		else what="no Python 3.10 to 3.13 on PATH"; fi; \
		echo "error: $$what: install one (apt install python3 python3-venv), or name it with PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi

# Fails with one line unless a Node that is new enough, and npm, are on PATH.
CHECK_NODE = \
	found='there is none on PATH'; \
	if version=$$(node --version 2>/dev/null); then \
		found="$$version is on PATH"; \
		major=$${version\#v}; major=$${major%%.*}; \
		case "$$major" in *[!0-9]*|'') ;; *) \
			if [ "$$major" -ge $(OLDEST_NODE) ]; then found=''; fi ;; \
		esac; \
	fi; \
	if [ -z "$$found" ] && ! npm --version >/dev/null 2>&1; then found='npm is not on PATH'; fi; \
	if [ -n "$$found" ]; then \
		echo "error: Node.js >= $(OLDEST_NODE) with npm is needed for make test, tools, docs and audit, but $$found:" \
			'install it (https://nodejs.org), or run make test-python, which needs none' >&2; \
		exit 1; \
	fi

# Of a recipe: `run COMMAND...` shows the command, as make does.
SHOWN = run() { echo "$$*"; "$$@"; }
LINT = run $(BIN)/ruff check . && run $(BIN)/ruff format --check . && run $(BIN)/mypy && run $(BIN)/lint-imports
PYTEST = run $(BIN)/pytest -n $(WORKERS) --dist worksteal -m 'not soak'

PIP_INSTALL = $(RUN_PYTHON) -m pip install -qq --disable-pip-version-check

.PHONY: help
help: ## this list
	@echo 'targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1|\2/p' $(firstword $(MAKEFILE_LIST)) \
		| while IFS='|' read -r name what; do printf '  %-18s%s\n' "$$name" "$$what"; done

.PHONY: demo
demo: venv ## the whole job on this machine: [DATA=dir] [JOB=file] [CHAIN=embedded|anvil|ganache] [REPORT=file]
	@set -- --chain "$$CHAIN" --report "$$REPORT"; \
	if [ -n "$$DATA" ]; then set -- "$$@" --data "$$DATA"; fi; \
	if [ -n "$$JOB" ]; then set -- "$$@" --job "$$JOB"; \
	elif [ -n "$$DATA" ]; then \
		if [ ! -d "$$DATA" ]; then echo "error: DATA=$$DATA: no such folder" >&2; exit 2; fi; \
		job=nodes/examples/$$(basename "$$(cd "$$DATA" && pwd)")/job.toml; \
		if [ ! -f "$$job" ]; then \
			echo "error: $$job: no such job file for DATA=$$DATA: write it, or give JOB=file" >&2; exit 2; \
		fi; \
		set -- "$$@" --job "$$job"; \
	fi; \
	exec $(BIN)/fedchain demo "$$@"

.PHONY: test
test: check-node venv-test tools ## everything: lint, pytest, contracts; needs Node
	@mkdir -p build; \
	echo 'contracts/script/forge.sh test > $(FORGE_LOG) &'; \
	contracts/script/forge.sh test > $(FORGE_LOG) 2>&1 & forge=$$!; \
	trap 'kill $$forge 2>/dev/null || true' EXIT; trap 'exit 130' INT TERM; \
	$(SHOWN); $(LINT) && \
	run node_modules/.bin/solhint --max-warnings 0 'contracts/**/*.sol' && \
	run contracts/script/forge.sh fmt --check && \
	$(PYTEST) || exit 1; \
	wait $$forge || { cat $(FORGE_LOG); exit 1; }; \
	tail -n 1 $(FORGE_LOG)

.PHONY: test-python
test-python: venv-test lint ## lint and pytest without Node: tests that need it are skipped
	@$(SHOWN); $(PYTEST)

.PHONY: soak
soak: venv-test ## the tests that run for minutes
	$(BIN)/pytest -m soak

.PHONY: test-docker
test-docker: venv-test ## the image and the compose files for real, some minutes; needs a Docker engine
	FEDCHAIN_TEST_DOCKER=1 $(BIN)/pytest -m docker tests/integration/docker

.PHONY: lint
lint: venv-test ## ruff, mypy, import rules
	@$(SHOWN); $(LINT)

.PHONY: fmt
fmt: venv-test ## format Python, and Solidity where `make tools` has run
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	@if [ -f $(NODE_MODULES) ]; then contracts/script/forge.sh fmt; fi

.PHONY: docs
docs: check-node venv-docs tools ## the documentation as a site, in build/docs; needs Node
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean --strict
	@echo 'build/docs/index.html'

.PHONY: docs-serve
docs-serve: check-node venv-docs tools ## the same at http://127.0.0.1:8000, built anew when a page changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:8000

.PHONY: audit
audit: check-node venv-test tools .venv/.installed-audit ## known vulnerabilities in what fedchain installs; asks the advisory databases
	@$(RUN_PYTHON) script/audit.py

.PHONY: contracts
contracts: venv-test tools ## compile the contracts into fedchain/chain/artifacts/
	$(RUN_PYTHON) contracts/script/compile.py

.PHONY: contracts-report
contracts-report: venv-test tools ## coverage, mutants and gas of the contracts as `name value` lines, some minutes: [ARGS='--only gas -v']
	@$(RUN_PYTHON) -m contracts.script.report $(ARGS)

.PHONY: contracts-slither
contracts-slither: venv-test tools build/slither/.installed-$(SLITHER) ## slither: no finding of high or medium impact unexplained
	@$(RUN_PYTHON) -m contracts.script.report --only slither --verbose

.PHONY: openapi
openapi: venv ## write the HTTP API's OpenAPI document into docs/reference/
	$(RUN_PYTHON) -m fedchain.node.api.description docs/reference/openapi.json

.PHONY: venv
venv: .venv/.installed ## .venv with fedchain in it

.PHONY: venv-test
venv-test: .venv/.installed-test

.PHONY: venv-docs
venv-docs: .venv/.installed-docs

.PHONY: tools
tools: $(NODE_MODULES) ## the npm side: solc, forge, anvil, Ganache, solhint, Mermaid; needs Node

.PHONY: check-node
check-node:
	@$(CHECK_NODE)

.PHONY: clean
clean: ## remove all that make has made, .venv and node_modules included
	rm -rf .venv node_modules build contracts/out contracts/cache demo-report.json demo-report.html
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find fedchain tests contracts -type d -name __pycache__ -prune -exec rm -rf {} +

# Prints the Python that would be picked.
.PHONY: which-python
which-python:
	@$(PICK_PYTHON); echo "$$python"

.venv/.installed: pyproject.toml
	@if ! $(RUN_PYTHON) -c 'import pip' >/dev/null 2>&1; then \
		$(PICK_PYTHON); \
		echo "making .venv with $$python"; \
		"$$python" -m venv --clear .venv; \
	fi
	@echo 'installing fedchain into .venv (a minute or two the first time)'
	@$(PIP_INSTALL) --editable .
	@touch $@

.venv/.installed-test: .venv/.installed
	@echo 'installing what tests need into .venv'
	@$(PIP_INSTALL) --editable '.[test]'
	@touch $@

.venv/.installed-docs: .venv/.installed
	@echo 'installing what the documentation needs into .venv'
	@$(PIP_INSTALL) --editable '.[docs]'
	@touch $@

.venv/.installed-audit: .venv/.installed
	@$(PIP_INSTALL) --editable '.[audit]'
	@touch $@

build/slither/.installed-$(SLITHER):
	@echo 'installing slither into build/slither'
	@$(RUN_PYTHON) -m venv --clear build/slither
	@build/slither/bin/python -m pip install -qq --disable-pip-version-check slither-analyzer==$(SLITHER)
	@touch $@

$(NODE_MODULES): package.json package-lock.json
	@$(CHECK_NODE)
	@echo 'installing the npm side into node_modules'
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@
