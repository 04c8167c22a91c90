# The two commands that matter: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: setup demo test chaos fuzz soak bench lock audit

setup: $(VENV)/.ready

demo: $(VENV)/.ready
	@echo "== Painting the demo clip (about a minute on two cores)"
	$(BIN)/python -m demo

test: $(VENV)/.ready-test
	@echo "== Running the tests"
	$(BIN)/python -m pytest

chaos: $(VENV)/.ready-test
	@echo "== Killing stages, Ray and whole runs at random moments (about twenty minutes)"
	$(BIN)/python -m pytest -m chaos -s tests

fuzz: $(VENV)/.ready-test
	@echo "== Trying 100,000 damaged files; those that fail are saved in tests/cases"
	$(BIN)/python -m tests.fuzzing --count 100000

# The versions that are tested: run in an environment that holds nothing else.
lock: $(VENV)/.ready-test
	$(INSTALL) -e ".[test,check]"
	(head -1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu//') > .constraints
	mv .constraints constraints.txt

# Needs pypi.org itself: a mirror has no advisories, and then this fails.
audit: $(VENV)/.ready-test
	$(INSTALL) "pip-audit>=2.9,<3"
	$(BIN)/python -m pip_audit --strict --no-deps --disable-pip -r constraints.txt

soak: $(VENV)/.ready-test
	@echo "== As many frames as a day of video has, small and fast, then two hours of paintings"
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.soak 200000 compact

bench: $(VENV)/.ready
	@echo "== Measuring speed and memory"
	$(BIN)/python -m benchmarks

$(VENV)/bin/python:
	@echo "== Making the environment in $(VENV) ($$($(PYTHON) --version))"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# A stamp for each set of packages: a second run installs nothing.
$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	@echo "== Installing packages (once, about two minutes)"
	$(INSTALL) -e .
	@touch $@

$(VENV)/.ready-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "== Installing packages with those for the tests (once, about two minutes)"
	$(INSTALL) -c constraints.txt -e ".[test]"
	@touch $@ $(VENV)/.ready
