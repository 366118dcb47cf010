# Two commands matter: `make run` starts a node, `make test` passes the quick suite. Both set up all they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 0
WORKERS ?= 3
# The rows of one node in docs/proofs.md, an hour or so; simulations, models, fuzzing and keys are more hours, and are called by name.
PROVING := tests/cluster tests/node tests/planted tests/ports tests/storage tests/torture
SOURCES := $(shell find node cql cluster storage -name '*.pyx' -o -name '*.pxd' 2>/dev/null)

.PHONY: run test package clients check build debug sim prove bench clean

run: build
	$(BIN)/python -m node start --dir data

test: build
	$(BIN)/python -m pytest tests -n $(WORKERS) -m 'not clients and not package'

package: build
	$(BIN)/python -m pytest tests/package

clients: build
	$(BIN)/python -m pytest tests/clients -rs

check: build
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@# cython-lint calls pycodestyle by its bare name.
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint node cql cluster storage
	$(BIN)/python tests/house/stubs.py
	$(BIN)/python -m pytest tests/house

build: $(VENV)/built

$(VENV)/ready: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or later is missing: install python3."; exit 1; }
	@command -v $${CC:-cc} >/dev/null || { echo "A C compiler is missing: install gcc."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed."; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
		|| { echo "Python's C headers are missing: install python3-dev."; exit 1; }
	@echo '#include <stdlib.h>' | $${CC:-cc} -E - >/dev/null 2>&1 || { echo "The C library's headers are missing: install libc6-dev."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: install python3-venv."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77' wheel 'Cython>=3.3'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -e '.[dev]'
	touch $@

$(VENV)/built: $(VENV)/ready setup.py $(SOURCES)
	$(BIN)/python setup.py --quiet build_ext --inplace
	$(BIN)/python -m compileall -q node cql cluster storage
	touch $@

# Everything anew with the internal checks; `make clean` goes back to a release build.
debug: $(VENV)/ready
	PYTHIA_DEBUG=1 $(BIN)/python setup.py --quiet build_ext --inplace --force
	touch $(VENV)/built

sim: build
	$(BIN)/python -m pytest tests/sim/test_simulation.py --seed $(SEED)

prove: build
	$(BIN)/python -m pytest $(PROVING) --long -n $(WORKERS)

bench: build
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) build
	find node cql cluster storage -name '*.so' -delete
	find node cql cluster storage -name '*.pyx' | sed 's/pyx$$/c/' | xargs rm -f storage/_cyutility.c
