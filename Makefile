# Everything runs from .venv, which is made from requirements/dev.lock when that file is newer.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.made-from-lock
PEER := .venv-localstack
PEER_STAMP := $(PEER)/.made-from-lock

.DEFAULT_GOAL := help
.PHONY: help setup peers demo install uninstall test campaign standstill lint bench bench-more lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

setup: $(STAMP) ## the environment in .venv, from the locked dependencies
	@$(BIN)/python -m compileall -q src tests benchmarks  # as an installation is: where nobody may write it, each start does it again

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "ghostroll needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/pip || { echo "making .venv ..."; $(PYTHON) -m venv .venv \
	  || { echo "the venv module is missing: sudo apt install python3-venv"; exit 1; }; }
	@echo "installing the locked dependencies ..."
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.lock
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

peers: $(PEER_STAMP) ## localstack's S3 store for the tests, in an environment of its own

# All that it needs is in the lock; one package that it never imports, and that has no wheel, isn't.
$(PEER_STAMP): requirements/localstack.lock
	@test -x $(PEER)/bin/pip || { echo "making $(PEER) ..."; $(PYTHON) -m venv $(PEER); }
	@echo "installing localstack ..."
	@$(PEER)/bin/pip install -qq --disable-pip-version-check --no-deps --require-hashes --only-binary :all: -r requirements/localstack.lock
	@touch $@

lock: ## resolve the dependencies anew, with hashes for every platform (needs uv)
	uv pip compile pyproject.toml --upgrade --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -q -o requirements/runtime.lock
	uv pip compile pyproject.toml --upgrade --group dev --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -q -o requirements/dev.lock
	uv pip compile requirements/build.in --upgrade --constraint requirements/dev.lock --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -q -o requirements/build.lock
	uv pip compile requirements/bench.in --upgrade --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -q -o requirements/bench.lock
	uv pip compile requirements/localstack.in --upgrade --no-emit-package tailer --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -q -o requirements/localstack.lock

install: ## ghostroll as a service of this system: sudo make install
	@PYTHON="$(if $(filter file,$(origin PYTHON)),,$(PYTHON))" systemd/install.sh install

uninstall: ## the service away again, photos and an edited configuration kept: sudo make uninstall
	@systemd/install.sh uninstall

demo: setup ## a whole ingest of a made card, or of your pictures: make demo CARD=/path
	@$(BIN)/ghostroll demo --into demo $(if $(CARD),--card "$(CARD)"); code=$$?; test $$code -eq 0 -o $$code -eq 3

test: setup peers ## everything: style, types, walls, unit, integration, crash, system and browser tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -n 3 --dist=worksteal --ignore=tests/system
	@$(BIN)/pytest tests/system  # one by one: a loop device that one frees is another's at once

campaign: setup peers ## the whole fault campaign of docs/reliability.md, and what it counted
	@: > campaign.counts
	@began=$$(date +%s); GHOSTROLL_CAMPAIGN=1 GHOSTROLL_CAMPAIGN_COUNTS=$(CURDIR)/campaign.counts \
	  $(BIN)/pytest -n 2 --dist=worksteal --durations=30 tests/crash tests/faults; code=$$?; \
	  $(BIN)/python tests/campaign.py campaign.counts $$began; exit $$code

standstill: setup peers ## everything but the system tests on a machine that stands still now and then: make standstill SEED=2
	@$(BIN)/python tests/standstill.py $(or $(SEED),1) $(BIN)/pytest -n 3 --dist=worksteal --ignore=tests/system

bench: setup ## what ghostroll costs beside the floors, in about 10 minutes: make bench RESULTS=/path keeps the figures there
	@$(BIN)/python benchmarks/core.py $(if $(RESULTS),--results "$(RESULTS)")

bench-more: setup ## the other figures of the README: a daemon in a machine, uploads beside rclone and aws; an hour
	@$(BIN)/python benchmarks/ingest_cost.py
	@$(BIN)/python benchmarks/reinsert.py
	@$(BIN)/python benchmarks/daemon.py || test $$? -eq 2
	@cmp -s requirements/bench.lock .venv/aws/made-from || { echo "installing aws ..."; rm -rf .venv/aws \
	  && $(PYTHON) -m venv .venv/aws && .venv/aws/bin/pip install -qq --disable-pip-version-check \
	  --require-hashes --only-binary :all: -r requirements/bench.lock && cp requirements/bench.lock .venv/aws/made-from; } \
	  || { echo "aws could not be installed: there will be no figures beside it"; rm -rf .venv/aws; }
	@$(BIN)/python benchmarks/uploads.py || test $$? -eq 2
	@$(BIN)/python benchmarks/adaptive.py || test $$? -eq 2

lint: setup ## style and types alone
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

clean: ## remove what was made here
	rm -rf .venv $(PEER) demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
