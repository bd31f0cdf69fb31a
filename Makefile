# Everything runs in a project-local environment, made on first use: nothing is installed outside .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-servers check bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 18

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/ready  ## demonstration plant, agent and live board in the terminal; Ctrl-C ends it
	$(BIN)/edge-agent demo $(DEMO_ARGS)

test: $(VENV)/ready  ## lint, format, strict types and all the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n 3 --dist loadfile $(PYTEST_ARGS)

check: $(VENV)/ready  ## lint, format and types only
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test-servers:  ## install the servers that the tests run against (Debian; needs root)
	sh tests/services/install.sh

bench: $(VENV)/ready  ## print every benchmark's figures as JSON
	$(BIN)/python bench/opcua_decode.py
	$(BIN)/python bench/pipeline.py
	$(BIN)/python bench/memory.py
	$(BIN)/python bench/engine.py
	$(BIN)/python bench/late.py

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
