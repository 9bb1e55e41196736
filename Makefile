# `make demo` and `make test` are all a newcomer needs: each builds .venv if it
# is missing, installs everything, and runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# One thread a process: torch on two threads spins when the other core is busy.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test bench lint format clean

demo: $(READY)
	$(BIN)/offline-prune demo

test: $(READY)
	$(BIN)/python -m pytest tests

# About a quarter of an hour; nothing else should run meanwhile.
bench: $(READY)
	$(BIN)/python benchmarks/training_speed.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch goes first and pinned: every later requirement then finds it in place.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable .
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis
