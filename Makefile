# `make demo` and `make test` are all a newcomer needs: each builds .venv if it
# is missing, installs everything, and runs. `make quick` is for while you work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CONSTRAINTS := constraints.txt
WITH := dev tianshou
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal

# One thread a process: torch on two threads spins when the other core is busy.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test quick notebooks compat bench retention cells docs dist-test lint format clean system-packages

demo: $(READY)
	$(BIN)/offline-prune demo

test: $(READY)
	$(PYTEST) tests

quick: $(READY)
	$(PYTEST) tests -m "not slow"

# With all of their steps; the suite takes a tenth. `python -m tests.notebook_outputs` makes the
# outputs anew that are committed and shown.
notebooks: $(READY)
	NOTEBOOKS=whole $(PYTEST) tests/test_notebooks.py

# The suite with the oldest versions that pyproject.toml allows, then with the newest ones
# of today (torch stays; tianshou is left out, as it asks for old ones). Old releases may call
# what others deprecate by now: no error.
compat:
	PYTEST_ADDOPTS="-W default::DeprecationWarning" \
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt
	rm -f .venv-newest/.ready
	PIP_UPGRADE=1 PIP_UPGRADE_STRATEGY=eager \
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=.venv-newest/torch.txt WITH=dev

.venv-newest/torch.txt: constraints.txt
	mkdir -p $(@D)
	grep ^torch== $< >$@

# The pages, the tables and the figures of the retention study, of the cells in its archives.
retention: $(READY)
	for made in table figure report; do $(BIN)/python benchmarks/retention/$$made.py || exit 1; done

# About half an hour; nothing else should run meanwhile. JAX is a column where the extra
# `peers` is installed.
bench: $(READY)
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/training_speed_further.py
	$(BIN)/python benchmarks/training_speed_peers.py

# The cells of a folder that a sweep wrote, as the one file beside it that git keeps; the
# same cells are the same bytes (GNU tar). `make cells STUDY=benchmarks/retention/choice`
cells:
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
	    --use-compress-program="xz -9" -C $(dir $(STUDY:/=)) \
	    -cf $(STUDY:/=).tar.xz $(notdir $(STUDY:/=))/cells

# The documentation's site, in site/; a broken link or reference fails. Every method's picture is
# drawn on the way; notebooks are shown with the outputs that are committed.
docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs build

# What would be published: built, checked, installed into a bare environment and tried there.
# `make dist-test PYTHONS="python3.11 python3.13"` tries it under each of these.
dist-test: $(VENV)/.ready-dist
	$(BIN)/python -m tests.distribution $(PYTHONS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Qt, with which Procgen draws; compilers and emulators that run exported C as microcontrollers do
# (2.6 GB). Where apt-get is and may install: elsewhere their tests are skipped, and say so.
EMULATORS := qemu-system-arm qemu-system-riscv32 qemu-aarch64 qemu-x86_64
COMPILERS := arm-none-eabi-gcc riscv64-unknown-elf-gcc aarch64-linux-gnu-gcc
PACKAGES := libqt5gui5 qemu-system-arm qemu-system-misc qemu-user \
    gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf \
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross
system-packages:
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! { ldconfig -p | grep -q libQt5Gui && \
	    which $(EMULATORS) $(COMPILERS) >/dev/null; }; then \
	    apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(PACKAGES); \
	fi

# torch goes first and pinned: every later requirement then finds it in place.
$(READY): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) $(WITH:%=--group %) --editable .
	touch $@

# Groups that only some targets need.
$(VENV)/.ready-%: $(READY)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --group $*
	touch $@

clean:
	rm -rf site dist $(VENV) .venv-oldest .venv-newest .mypy_cache .ruff_cache .hypothesis
