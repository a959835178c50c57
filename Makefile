# `make demo` and `make test` are all a newcomer needs: each creates .venv when it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# torch first, and together with torchvision: pip then picks a matching pair of the newest release.
TORCH ?= torch torchvision
DEMO_DIR ?= work_dirs/demo

.PHONY: help install demo test lint types pytest quick wheel docs coverage sanitize clean

help:
	@echo "make demo   train, evaluate and draw the small demo detector (about ten minutes on a core)"
	@echo "make test   ruff, mypy and pytest"
	@echo "make quick  the tests that train nothing and start no process, in four minutes"
	@echo "make coverage  which lines of detr_kit/ the tests run; half as long again as make test"
	@echo "make docs   the documentation as a site in build/site; every warning is an error"
	@echo "make wheel  sdist and wheel in dist/, tried in a clean environment outside the checkout"
	@echo "make sanitize  the native op's tests under the address and undefined-behaviour sanitizers"
	@echo "make clean  remove .venv, caches and the demo's output"

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "detr-kit needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# --no-compile: Python compiles what is imported then, and most of 17,000 files never is.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile
BUILT_FROM := pyproject.toml setup.py $(wildcard ops/*.cpp ops/*.h ops/*/*.cpp ops/*/*.h ops/*/*.cu)

$(VENV)/.installed: $(BUILT_FROM) | $(BIN)/python
	$(PIP_INSTALL) $(TORCH) setuptools
	$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.installed
	$(PIP_INSTALL) "mkdocs-material>=9.5" "mkdocstrings[python]>=0.26"
	@touch $@

# In one go, since each builds the native operators.
$(VENV)/.installed-test: $(BUILT_FROM) | $(BIN)/python
	$(PIP_INSTALL) $(TORCH) setuptools
	$(PIP_INSTALL) --no-build-isolation --editable ".[test]"
	@touch $(VENV)/.installed $@

install: $(VENV)/.installed

# mypy beside pytest, which leaves a part of the processor idle.
test: lint
	@$(MAKE) --no-print-directory --jobs 2 types pytest

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

# A process more than there are cores, since a quarter of the time goes by waiting for children and time-outs; each
# with one thread. A file's tests stay in one, which makes once what they share, in the order of tests/conftest.py.
WORKERS := $(shell n=$$(nproc); echo $$((n < 8 ? n + 1 : 8)))
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SPREAD)

pytest: $(VENV)/.installed-test
	$(PYTEST) $(PYTEST_ARGS)

quick: $(VENV)/.installed-test
	$(PYTEST) -q -m "not long and not slow" $(PYTEST_ARGS)

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# From Python 3.12 on coverage can let the interpreter say which lines run (sysmon), without a tracer.
coverage: $(VENV)/.installed-test
	$(PIP_INSTALL) "coverage>=7.10"
	$(BIN)/coverage erase
	COVERAGE_CORE=$$($(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest $(SPREAD) -q $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

wheel: $(VENV)/.installed-test
	rm -rf build/wheel
	$(BIN)/python .ci/check_wheel.py build/wheel
	mkdir -p dist && cp build/wheel/dist/* dist/

# A second build in its own folder; the sanitizer's library has to be loaded before python's own.
sanitize: $(VENV)/.installed-test
	DETR_KIT_SANITIZE=1 DETR_KIT_NO_CUDA=1 $(BIN)/python setup.py -q build_ext --build-lib build/sanitize --build-temp build/sanitize
	DETR_KIT_EXTENSION=$(CURDIR)/build/sanitize/detr_kit/_C.abi3.so \
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	$(BIN)/python -m pytest tests/ops/test_op_numbers.py tests/ops/test_op_contract.py \
		-k "not compiles and not exports and not opcheck and not cuda"

demo: $(VENV)/.installed
	$(BIN)/python tools/demo.py --out $(DEMO_DIR)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis $(DEMO_DIR)
