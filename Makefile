# Every target sets up what it needs in .venv on first use and reuses it afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN_DIR ?= runs/demo

.PHONY: demo winner test check lint types bench gpu-check gpu-tables clean

## demo: a real search on this machine, a few minutes; leaves $(RUN_DIR)/report.html
demo: $(STAMP)
	$(BIN)/nas search quick-cpu --run-dir $(RUN_DIR) --resume

## winner: the demo's best model, trained for minutes against pure models of the same latency; who won, by how much
winner: $(STAMP)
	$(BIN)/python -m benchmarks.winner --run-dir $(RUN_DIR)

## test: the whole test suite
test: $(STAMP)
	$(BIN)/pytest -n auto --dist loadfile

## check: what CI runs: format, lint, types, tests
check: lint types test

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

## bench: every claim a CPU can check, one after the other
bench: $(STAMP)
	$(BIN)/python -m benchmarks.all --device cpu

## gpu-check: every claim that needs a GPU, resumable, with the GPU machine's own Python and torch
gpu-check:
	$(PYTHON) -m benchmarks.all --device cuda

## gpu-tables: the latency table of this GPU, in runs of under nine minutes; exit code 75 asks for another run
gpu-tables:
	$(PYTHON) -m benchmarks.gpu_tables --device cuda --minutes 8.5

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with make PYTHON=python3.12 ..." >&2; exit 4; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "error: Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 4; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)
