# Needs Python 3.11 or newer, make and git; everything else goes into .venv. `make setup`, then `make demo` or `make test`.

BIN := .venv/bin
READY := .venv/.ready
# More arguments, for pytest or the benchmarks: make test ARGS="-k sleep", make bench ARGS="--only growth"
ARGS ?=

# Whoever tells Python to keep no bytecode does not think of the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check lint types pyright imports audit bench flow-report format clean

setup: $(READY)
	@echo "Ready. Next: make demo, or make test"

# Made again when what it installs changes, and from nothing when its Python is gone.
$(READY): pyproject.toml
	@$(BIN)/python -c '' 2>/dev/null || { \
	    for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	        if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "This needs Python 3.11 or newer, and none is on the PATH. Install one, or name it: make setup PYTHON=/path/to/python3" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making .venv with $$($$found --version)"; \
	    $$found -m venv --clear .venv; \
	}
	@echo "Installing the project and its tools into .venv"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[embedded,encryption,postgres,mysql,server]' --group dev
	@touch $@

demo: $(READY)
	@$(BIN)/python -m examples.github.demo

test: check
	@$(BIN)/python -m pytest --quiet -n auto --dist worksteal $(ARGS)

# Static checks, two at a time: they are the short ones, and a test run after a type error is wasted.
check: $(READY)
	@$(MAKE) --no-print-directory -j 2 pyright types lint imports

lint: $(READY)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --check; exit 1; }

types: $(READY)
	@$(BIN)/mypy

# The bundled Node.js runs it, so none has to be on the machine, and nothing asks for newer versions.
pyright: $(READY)
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

imports: $(READY)
	@$(BIN)/lint-imports --no-logo

# Known vulnerabilities of what is installed. It asks a service on the network, so neither `test` nor CI depends on it;
# the search for secrets is a test, and needs none (tests/test_secrets.py).
audit: $(READY)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check 'pip-audit>=2.7'
	@$(BIN)/pip-audit --skip-editable $(ARGS)

bench: $(READY)
	@$(BIN)/python -m benchmarks $(ARGS)

# How exact limits are, and what they cost.
flow-report: $(READY)
	@$(BIN)/python -m benchmarks.flow

format: $(READY)
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
