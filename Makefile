# make help says what there is. Nothing is needed beforehand but make and Python 3.11, 3.12 or 3.13.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ARGS ?=
# The newest Python that works and that the locked packages are made for; PYTHON=… overrides.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; \
	done)

.PHONY: help install run demo test check docs lock bench clean

help: ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 12

install: $(VENV)/installed ## Set everything up in .venv, from the lock

run: install ## Serve the example on 127.0.0.1:9480, with an embedded Valkey and SQLite
	@exec $(BIN)/alertmend serve --config.file=example/alertmend.yml --storage.path=data $(ARGS)

demo: install ## A toy breaks and is mended, then the refusals (ARGS=--exit ends by itself)
	@exec $(BIN)/alertmend demo $(ARGS)

test: check ## Check, then run every test; what they need from Debian is installed first
	@test -n "$(ARGS)" || tests/packages
	@$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/installed-dev ## Formatter, linter, types, import contracts, YAML and Ansible lint
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }
	@$(BIN)/yamllint --strict .
	@ANSIBLE_LIBRARY=playbooks/library PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --offline -q

docs: $(VENV)/installed-dev ## The documentation as pages, in build/docs
	@$(BIN)/sphinx-build -q -W -b html docs build/docs

lock: $(VENV)/python ## Compile both locks anew
	@$(PIP) uv
	@$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --extra build pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --extra build --extra dev --extra otel --constraint requirements.lock pyproject.toml \
		-o requirements-dev.lock

bench: $(VENV)/installed-dev ## Measure, each against its floor in the same run
	@for name in receiving deciding first_task many_runs live memory storm; do $(BIN)/python -m benchmarks.$$name; done

clean: ## Remove what make made; the example's data too
	rm -rf $(VENV) data build dist

$(VENV)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: apt-get install python3" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing python3-venv" >&2; \
			{ apt-get install -y -qq python3-venv || { apt-get update -qq && apt-get install -y -qq python3-venv; }; } >&2; \
		else \
			echo "Python's venv is missing: sudo apt-get install python3-venv" >&2; exit 2; \
		fi; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: requirements.lock pyproject.toml | $(VENV)/python
	@echo "installing what requirements.lock names (a minute or two the first time)" >&2
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	@echo "installing what the tests and checks need besides" >&2
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
