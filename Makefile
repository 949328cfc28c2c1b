# Everything a person runs here. A fresh Debian 12 or Ubuntu machine with Python >= 3.11 and make is enough for
# `make demo` and `make test`: each sets up what it needs in .venv on its first run and is instant afterwards.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test soak check format bench kafka docs lock clean

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip install --quiet
# The first Python that is new enough; `make PYTHON=/path/to/python3.12 demo` chooses another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null && command -v "$$candidate" && break; done)

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## The main job at work, in a minute and a half: 1,000 contacts, outages, dead letters, a reckoning
	@$(BIN)/writeback demo

# A Kafka of its own per process; the one that KAFKA_BOOTSTRAP_SERVERS names can serve only one at a time.
JOBS   ?= $(if $(KAFKA_BOOTSTRAP_SERVERS),0,3)

# Files in the order of their names: the slow ones of tests/acceptance and tests/benchmarks begin first, and none is left for the end.
test: $(VENV)/.dev ## All tests, a real Kafka and PostgreSQL included where this machine can have them (ARGS="-k lane")
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

SEEDS  ?= 20000

soak: $(VENV)/.dev ## The three promises over 20,000 random histories, before a release or after a change of the engine (SEEDS=...)
	@WRITEBACK_TEST_SEEDS=$(SEEDS) $(BIN)/python -m pytest --numprocesses 2 -o timeout=0 tests/simulation $(ARGS)

check: $(VENV)/.dev ## Format, lint, types, import rules, compose.yaml, generated reference pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.compose
	$(BIN)/python -m docs.generate --check

format: $(VENV)/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev ## Measure rates, latencies and memory on this machine (ARGS="--help")
	@$(BIN)/python -m tests.benchmarks $(ARGS)

kafka: $(VENV)/.dev ## A real Apache Kafka on a free loopback port, until Ctrl-C
	@$(BIN)/python -m tests.kafka_broker

docs: $(VENV)/.dev ## Write the generated reference pages (CLI, settings, topics)
	$(BIN)/python -m docs.generate

lock: ## Resolve the newest allowed versions into constraints.txt
	@rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	@PIP_DISABLE_PIP_VERSION_CHECK=1 .cache/lock/bin/python -m pip install --quiet '.[dev]'
	@{ sed -n '/^#/p' constraints.txt; .cache/lock/bin/python -m pip freeze --exclude writeback; } > .cache/constraints.txt
	@mv .cache/constraints.txt constraints.txt && rm -rf .cache/lock && git diff --stat -- constraints.txt

clean: ## Remove everything that was made here; data in ~/.writeback stays
	rm -rf $(VENV) .demo .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Writeback needs Python 3.11 or newer; none was found. On Debian or Ubuntu:" \
		"sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments." \
		"On Debian or Ubuntu: sudo apt-get install python3-venv" \
		"(or, for this very version, python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# A stamp is younger than what it was made from, so that a second run has nothing to do.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) (once; about a minute) ..."
	@$(PIP) --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Setting up $(VENV) with the development tools (once; a minute or two) ..."
	@$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.runtime
