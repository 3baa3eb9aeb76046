# Every target sets up what it needs in .venv on first use and reuses it afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN_DIR ?= runs/demo

.PHONY: demo winner test check lint types bench gpu-check gpu-tables browser clean

## demo: a real search on this machine, a few minutes; leaves $(RUN_DIR)/report.html
demo: $(STAMP)
	$(BIN)/nas search quick-cpu --run-dir $(RUN_DIR) --resume

## winner: the demo's best model, trained for minutes against pure models of the same latency; who won, by how much
winner: $(STAMP)
	$(BIN)/python -m benchmarks.winner --run-dir $(RUN_DIR)

## test: the whole test suite
test: $(STAMP) browser
	$(BIN)/pytest -n auto --dist loadfile

## check: what CI runs: format, lint, types, tests
check: lint types test

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

## bench: every claim a CPU can check, one after the other
bench: $(STAMP) browser
	$(BIN)/python -m benchmarks.all --device cpu

## gpu-check: every claim that needs a GPU, resumable, with the GPU machine's own Python and torch
gpu-check:
	$(PYTHON) -m benchmarks.all --device cuda

## gpu-tables: the latency table of this GPU, in runs of under nine minutes; exit code 75 asks for another run
gpu-tables:
	$(PYTHON) -m benchmarks.gpu_tables --device cuda --minutes 8.5

# Tests look at the dashboard in a real browser. Where none can be installed, they say so rather than be left out.
browser:
	@[ -n "$$HYBRIDNAS_WITHOUT_BROWSER" ] && exit 0; \
	for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	as_root=; [ "$$(id -u)" = 0 ] || as_root="sudo -n"; \
	$$as_root apt-get update -q; $$as_root apt-get install -yq --no-install-recommends chromium || \
		echo "warning: the dashboard's tests need a Chromium on PATH, and it could not be installed;" \
			"install it, or leave these tests out with HYBRIDNAS_WITHOUT_BROWSER=1" >&2

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
