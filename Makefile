PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
ARGS ?=
, := ,

.DEFAULT_GOAL := help
.PHONY: help setup setup-peers run sweep serve lint format test test-slow test-browser bench build clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the package, its test and its lint tools

$(READY): pyproject.toml .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tt_hydra needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	touch $(READY)

run: $(READY) ## MovieLens-100K, start to finish; ARGS='tower=bert index=hnsw' changes any part
	$(BIN)/python -m tt_hydra $(ARGS)

sweep: $(READY) ## every pair of index and quantization over one training; ARGS=... for another grid
	$(BIN)/python -m tt_hydra --multirun $(or $(ARGS),index=flat$(,)ivf$(,)hnsw quantization=none$(,)fp16$(,)int8$(,)pq)

serve: $(READY) ## the newest run's bundle over HTTP with a page; ARGS='serve.port=8080' changes any key
	$(BIN)/python -m tt_hydra serve $(ARGS)

lint: $(READY) ## ruff, mypy --strict, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(READY) ## the tests that take seconds each
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile $(ARGS)

test-slow: $(READY) ## the tests that take longer
	$(BIN)/python -m pytest -m 'slow and not network' $(ARGS)

setup-peers: $(PEERS)/.ready ## make .venv-peers with what the benchmarks compare with

$(PEERS)/.ready: benchmarks/peers.txt .ci/constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --requirement benchmarks/peers.txt
	touch $(PEERS)/.ready

bench: $(READY) ## NAME=movielens [DATA=folder]: one benchmark, ours and the peers in one run
	$(BIN)/python benchmarks/$(or $(NAME),movielens).py $(if $(DATA),--data $(DATA)) $(ARGS)

build: $(READY) ## the wheel, under dist/
	$(BIN)/python -m build --wheel --no-isolation

clean: ## remove caches and builds; outputs/ is left alone
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find tt_hydra tests benchmarks conf -name __pycache__ -type d -prune -exec rm -rf {} +
