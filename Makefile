# The two commands for newcomers: `make serve` and `make test`. `make help` lists the others.
PY := .venv/bin/python
PYTHON ?= $(or $(shell command -v python3.11),python3)
CONFIG ?= configs/local.yaml
ROWS ?= 100

.DEFAULT_GOAL := help
.PHONY: help venv serve test check unit lock reference router adapters docs screenshots compose-test clean
.PHONY: bench-gateway bench-composition bench-router bench-robustness bench-swap bench-swap-gpu bench-many-experts bench-simulation bench-announcements bench-aggregators bench-plan-quality

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

venv:  ## make .venv with the locked CPU environment
	@scripts/install

serve: venv  ## install, prepare the models and serve $(CONFIG) until Ctrl-C
	@exec .venv/bin/coe serve $(CONFIG)

test: check  ## the gate and the whole suite, real engines included; what CI runs
	@$(PY) -m pytest --cov --cov-report=term

check: venv  ## format, lint, types, import directions
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

unit: venv  ## the fast tests alone
	@$(PY) -m pytest -m "not engine and not service and not docs"

reference: venv  ## rewrite configs/schema.json and docs/configuration.md from the models
	@.venv/bin/coe schema > configs/schema.json
	@.venv/bin/coe schema --markdown > docs/configuration.md

router: venv  ## train the default router from configs/router-data
	@.venv/bin/coe train-router --data $(sort $(wildcard configs/router-data/train/*.jsonl)) --encoder static --out configs/router

adapters: venv  ## train the adapters that ship, about two hours on one core
	@scripts/train-adapters

bench-composition: venv  ## the composition beside each of its experts, as a table
	@$(PY) -m benchmarks.composition --rows $(ROWS)

bench-gateway: venv  ## the gateway beside LiteLLM's proxy, as a table
	@$(PY) -m benchmarks.gateway

bench-router: venv  ## what it costs to classify a prompt, as a table
	@$(PY) -m benchmarks.router

bench-simulation: venv  ## the default memory policy beside FCFS with LRU and the optimum, on 100 traces
	@$(PY) -m benchmarks.simulation

bench-announcements: venv  ## what it is worth to tell workers ahead what plans will ask, on made traces
	@$(PY) -m benchmarks.announcements

bench-robustness: venv  ## whether a prompt keeps its category in other words, and what few prompts teach
	@$(PY) -m benchmarks.robustness

bench-swap: venv  ## what it costs to change experts, as a table
	@$(PY) -m benchmarks.swap

bench-swap-gpu:  ## the same on a GPU; PY=... is the Python where `.[gpu]` is installed
	@$(PY) -m benchmarks.swap_gpu

bench-many-experts: venv  ## twelve experts with room for one, under both policies, as a table
	@$(PY) -m benchmarks.many_experts

bench-aggregators: venv  ## what plans with several calls cost, as a table
	@$(PY) -m benchmarks.aggregators

bench-plan-quality: venv  ## what plans are worth on the embedded experts, as a table
	@$(PY) -m benchmarks.plan_quality

screenshots: venv  ## make docs/images again (needs Debian's chromium and chromium-driver)
	@scripts/screenshots

compose-test: venv  ## docker-compose.yml on this machine's Docker engine: up, asked, killed and healed, down
	@scripts/compose-test

docs: .venv-docs/installed  ## build the site of docs/ into site/, refusing broken links
	@.venv-docs/bin/zensical build --strict --clean

.venv-docs/installed: requirements/docs.txt
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

lock:  ## resolve the files in requirements again (needs uv)
	uv pip compile pyproject.toml --extra cpu --group dev --override requirements/overrides.txt \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	  --no-emit-find-links --no-annotate --no-header --output-file requirements/cpu.txt
	uv pip compile --group docs --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	  --no-emit-find-links --no-annotate --no-header --output-file requirements/docs.txt

clean:  ## remove .venv and caches
	rm -rf .venv .venv-docs site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage
