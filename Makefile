# Two commands: `make demo` shows the whole loop, `make test` checks everything. Each alone is enough on a fresh machine.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint install system system-test clean

demo: install
	$(BIN)/lfd demo --out demo --json

test: system-test install lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup -rs $(PYTEST_ARGS)  # -rs: what is skipped is said, with its reason

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml | system
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Names what the system lacks and how to get it; installs it at once when root.
system:
	@PYTHON=$(PYTHON) bash system_packages.sh

system-test:
	@PYTHON=$(PYTHON) bash system_packages.sh tests

clean:
	rm -rf $(VENV) demo build dist *.egg-info
