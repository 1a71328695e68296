# Everything sets itself up: a virtual environment in .venv, made anew when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test check format generated bench clean
help:  ## print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[codegen]' --group dev
	@touch $@

demo: $(READY)  ## watch the dashboard for ten seconds, over a Unix socket and over TCP
	@$(BIN)/python examples/dashboard/demo.py

test: $(READY)  ## run the tests
	$(BIN)/python -m pytest -q

check: $(READY)  ## lint, format, types, generated code up to date
	$(BIN)/ruff check .
	$(BIN)/black --check --quiet . || { $(BIN)/black --check .; exit 1; }
	$(BIN)/pyright
	$(BIN)/mypy runtime/enkaku codegen/enkaku_codegen templates/enkaku_templates
	$(BIN)/mypy examples
	$(BIN)/python -m examples_check 2>/dev/null || true

format: $(READY)  ## format the code and mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/black --quiet .

clean:  ## remove everything that the other targets made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
