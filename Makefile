# `make demo` and `make test` are all a newcomer needs: each creates .venv when it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# torch first, and together with torchvision: pip then picks a matching pair of the newest release.
TORCH ?= torch torchvision
DEMO_DIR ?= work_dirs/demo

.PHONY: help install demo test lint types pytest clean

help:
	@echo "make demo   train, evaluate and draw the small demo detector (about 10 minutes on 2 cores)"
	@echo "make test   ruff, mypy and pytest"
	@echo "make clean  remove .venv, caches and the demo's output"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "detr-kit needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH) setuptools
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[test]"
	@touch $@

install: $(VENV)/.installed

test: lint types pytest

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

pytest: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

demo: $(VENV)/.installed
	$(BIN)/python tools/demo.py --out $(DEMO_DIR)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(DEMO_DIR)
