# The list of commands. `make compose` and `make test` are all that a fresh machine needs: Python 3.11 or later with venv, and make.

PYTHON ?= python3
PIP_FLAGS ?= --quiet --disable-pip-version-check

.PHONY: help compose studio test lint bench docs docs-serve clean

help:
	@echo "make compose   install what composing needs (once) and compose a new piece: piece.mid, piece.wav, piece.svg"
	@echo "make studio    install what the studio needs (once) and open it in the browser"
	@echo "make test      install what tests need (once) and run them all"
	@echo "make lint      the style, type and architecture checks alone"
	@echo "make bench     measure decoding speed on this machine"
	@echo "make docs      build the documentation into site/, every link checked; make docs-serve opens it"
	@echo "make clean     remove the environments and caches"

compose: .venv/ready
	@.venv/bin/preludio compose

NATIVE := hatch_build.py native_build.py $(wildcard src/preludio/engine/native/*.[chi]*)

# Composing has an environment of its own: light, without torch.
.venv/ready: pyproject.toml $(NATIVE)
	@echo "Setting up (once, about a minute) ..."
	@$(PYTHON) -m venv .venv
	@.venv/bin/pip install $(PIP_FLAGS) -e .
	@touch $@

studio: .venv/studio
	@.venv/bin/preludio studio

.venv/studio: .venv/ready
	@.venv/bin/pip install $(PIP_FLAGS) -e ".[studio]"
	@touch $@

# torch first and by its version: a range alone would take the newest build with gigabytes of CUDA.
.venv-test/ready: pyproject.toml $(NATIVE)
	@echo "Setting up the tests (once, a few minutes) ..."
	@$(PYTHON) -m venv .venv-test
	@.venv-test/bin/pip install $(PIP_FLAGS) torch==2.13.0
	@.venv-test/bin/pip install $(PIP_FLAGS) -e ".[test]"
	@touch $@

test: lint
	@.venv-test/bin/python -m pytest

lint: .venv-test/ready
	@.venv-test/bin/ruff check
	@.venv-test/bin/mypy
	@.venv-test/bin/lint-imports

bench: .venv/ready
	@.venv/bin/python benchmarks/decoding.py

# Material's notice about its own successor is no warning of ours.
docs: .venv-docs/ready
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

docs-serve: .venv-docs/ready
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs serve --open

.venv-docs/ready: pyproject.toml
	@echo "Setting up the documentation (once, about a minute) ..."
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/pip install $(PIP_FLAGS) -e ".[docs]"
	@touch $@

clean:
	rm -rf .venv .venv-test .venv-docs site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
