# What a newcomer types. Each verb sets up .venv by itself; it needs python3 (3.11 to 3.13) and pip.
PYTHON ?= python3
UV     := .venv/bin/uv
BIN    := .venv/bin
# Only a finished installation of this very lock leaves the stamp.
STAMP  := .venv/.installed-$(shell sha256sum requirements-dev.lock 2>/dev/null | cut -c1-12)
COMPILE := --universal --no-emit-index-url --generate-hashes --no-annotate -q

# A file of tests stays on one worker, which has a Ray and a store of its own.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
# What starts several nodes wants both cores: beside other work a cluster starves.
CLUSTERS := tests/cluster tests/hosts tests/robustness/test_chaos.py

BENCHMARKS := cost engines faces folds memory scoring sources startup training training_step

MAKE_VENV = test -x .venv/bin/python || { $(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit( \
    "facemill needs Python 3.11 to 3.13, as TensorFlow does: make PYTHON=python3.13 ...")' && $(PYTHON) -m venv .venv; }

.PHONY: sbom help setup demo test test-slow cluster-test coverage check bench lock clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## make .venv from requirements-dev.lock
	@:

$(STAMP): requirements-dev.lock
	@echo "Installing the locked packages into .venv (once; 1.5 GB, some minutes) ..."
	@$(MAKE_VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@rm -f .venv/.installed-*
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements-dev.lock
	@touch $@

demo: setup  ## draw faces, train for a minute, evaluate, score: the whole path, offline
	@$(BIN)/python -m jobs.demo

test: setup  ## every test but the slow ones, on two workers; starts its own Ray and S3 server
	@$(BIN)/python -m pytest -m "not slow" $(SIDE_BY_SIDE)

test-slow: setup  ## the rest: killed processes on two workers, then clusters of several nodes
	@$(BIN)/python -m pytest -m slow $(CLUSTERS:%=--ignore=%) $(SIDE_BY_SIDE) --durations=8
	@$(BIN)/python -m pytest -m slow $(CLUSTERS) --durations=8

cluster-test: setup  ## only the tests of a cluster: several Ray nodes, cluster.yaml, deploy/
	@$(BIN)/python -m pytest tests/cluster --durations=6

coverage: setup  ## as test, and how much of model/ and pipelines/ it runs, by branches
	@$(BIN)/python -m pytest -m "not slow" $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered

check: setup  ## format, lint, types, floors, known holes, what no linter knows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m tests.check_house
	@$(BIN)/python -m tests.audit

bench: setup  ## every benchmark at a small size, 20 minutes; FULL=--full: as documented, hours
	@failed=; for name in $(BENCHMARKS); do echo "== benchmarks.$$name"; \
	    $(BIN)/python -m benchmarks.$$name $(FULL) || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

sbom: setup  ## sbom.json: what requirements.lock installs, as a bill of materials (CycloneDX)
	@$(UV) tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements requirements.lock -o sbom.json

# uv may be there without the rest: a lock that cannot be installed must still be mendable.
$(UV):
	@$(MAKE_VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

lock: $(UV)  ## resolve pyproject.toml again into the lock files
	$(UV) pip compile pyproject.toml --extra analytics --extra heic $(COMPILE) -o requirements.lock
	$(UV) pip compile pyproject.toml --extra dev -c requirements.lock $(COMPILE) -o requirements-dev.lock
	$(UV) pip compile pyproject.toml --extra gpu --extra analytics --extra heic -c requirements.lock $(COMPILE) -o deploy/requirements-gpu.lock
	@! grep -nE '^ *(-i|--index-url|--extra-index-url|--find-links)|://' \
	    requirements.lock requirements-dev.lock deploy/requirements-gpu.lock \
	    || { echo "a lock must not name where packages come from"; exit 1; }

clean:  ## remove caches and what the demo left; .venv stays
	rm -rf runs/demo .pytest_cache .ruff_cache .import_linter_cache .coverage* *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
