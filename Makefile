# The only list of tasks. The first call makes .venv and installs into it, pinned by constraints.txt;
# later calls do not. Another interpreter: make PYTHON=python3.12; other benchmarks or tests:
# make bench BENCHMARKS=benchmarks/accuracy.py, make test TESTS=tests/layers WORKERS=4.

PYTHON ?= python3
TESTS ?= tests
WORKERS ?= 2
BENCHMARKS ?= $(sort $(wildcard benchmarks/*.py))
TRAIN ?=

BIN := .venv/bin
INSTALL = PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=constraints.txt \
	PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet -c constraints.txt
PINS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test contract check format bench pages proof clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/core-installed ## check and cure a wrong layer, then train CustomNet on the bundled digits
	$(BIN)/python examples/01_a_wrong_layer.py
	$(BIN)/layerwright train $(TRAIN)

# One thread a worker: the workers are what uses the cores.
test: .venv/all-installed ## run all tests but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TESTS) -n $(WORKERS) --dist worksteal -m "not slow"

contract: .venv/all-installed ## run all rules on our own layers and networks
	$(BIN)/python benchmarks/false_alarms.py --of ours --tier full --strict --workers $(WORKERS)

check: .venv/all-installed ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/all-installed ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/all-installed ## print the performance figures, each beside its baseline
	@set -e; for file in $(BENCHMARKS); do echo "== $$file"; $(BIN)/python $$file; done

pages: .venv/all-installed ## build the documentation site into build/docs/site
	$(BIN)/python docs/build_pages.py build/docs

# The contract's can share the cores; the others kill processes, fill disks and measure.
proof: .venv/all-installed ## run what takes too long for each test run
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/contract -n $(WORKERS) -m slow
	$(BIN)/python benchmarks/false_alarms.py --all-inputs --tier full --workers $(WORKERS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests --ignore tests/contract -m slow

clean: ## remove what was made here, but not runs/
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: layerwright needs Python 3.11 or newer, and $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1). Fix: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	$(PYTHON) -m venv .venv

.venv/core-installed: .venv/bin/python $(PINS)
	@echo "installing the core into .venv, once"
	@$(INSTALL) -e .
	@touch $@

.venv/all-installed: .venv/bin/python $(PINS)
	@echo "installing the core, its extras and the tools into .venv, once"
	@$(INSTALL) -e '.[dev]'
	@touch $@ .venv/core-installed
