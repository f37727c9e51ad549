# The one door: `make help` lists what there is. Needs Python 3.11 or newer and make; everything else comes into .venv.
.DEFAULT_GOAL := help
.PHONY: help run demo token test check prove interop bench migrate lock format clean
PYTHON ?= $(firstword $(foreach candidate,python3.13 python3.12 python3.11 python3,$(if $(shell $(candidate) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(candidate))))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One more than there are cores: for a third of their time the tests wait for servers.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1) + 1)

help:  ## list the doors
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|' 2>/dev/null || grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST)

$(READY): requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; say which: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@echo "setting up $(VENV) (once, about half a minute)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt >&2
	@touch $@

run: $(READY)  ## start the API (port 8000) and the development tenant (port 9000)
	@exec $(BIN)/python -m dev.run

demo: $(READY)  ## tell the whole story by itself, step by step
	@exec $(BIN)/python -m dev.demo

token: $(READY)  ## print an access token of the development tenant (make -s token), while `make run` runs
	@exec $(BIN)/python -m dev.print_token

test: $(READY)  ## run the whole suite, PostgreSQL included, with the coverage gates
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --cov --cov-report= $(ARGS)
	$(BIN)/python -m coverage report --include='app/oauth/*' --fail-under=100
	$(BIN)/python -m coverage report --fail-under=95

check: $(READY)  ## lint, types, architecture, dependencies, Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	@if test -x $(BIN)/hadolint; then $(BIN)/hadolint Dockerfile; else echo "no hadolint wheel for this platform: Dockerfile not linted"; fi

prove: $(READY)  ## races, kills, faults and a soak under load; fuzz the token core, and change it line by line (an hour)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-prove.txt
	POSTERN_RACE_WRITES=5000 $(BIN)/python -m pytest -q tests/records/test_sync_race.py
	$(BIN)/python -m prove.race
	$(BIN)/python -m prove.kills
	$(BIN)/python -m prove.chaos
	$(BIN)/python -m prove.soak
	$(BIN)/python -m prove.mutants
	$(BIN)/python -m prove.fuzz

interop: $(READY)  ## what nobody here wrote, against the API: clients, providers, Prometheus, nginx (needs Node 20 or newer, Chromium, promtool, nginx)
	@command -v npm >/dev/null || { echo "Node 20 or newer is needed for make interop" >&2; exit 1; }
	@command -v chromium >/dev/null || { echo "Chromium is needed for make interop (apt-get install chromium)" >&2; exit 1; }
	@command -v promtool >/dev/null || { echo "promtool is needed for make interop (apt-get install prometheus)" >&2; exit 1; }
	@PATH=$$PATH:/usr/sbin:/usr/local/sbin command -v nginx >/dev/null || { echo "nginx is needed for make interop (apt-get install nginx)" >&2; exit 1; }
	@cd interop && npm ci --ignore-scripts --silent
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-interop.txt
	$(BIN)/python -m pytest interop $(ARGS)

bench: $(READY)  ## side by side with peers on this machine; writes docs/performance.md
	@exec $(BIN)/python -m benchmarks $(ARGS)

migrate: $(READY)  ## bring the database (DATABASE_URL, or the development one) to the newest schema
	@exec $(BIN)/python -m dev.migrate

lock: $(READY)  ## write requirements*.txt anew from requirements*.in
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate -o requirements.txt requirements.in
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate -c requirements.txt -o requirements-dev.txt requirements-dev.in
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate -o requirements-prove.txt requirements-prove.in
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate -o requirements-interop.txt requirements-interop.in
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate -o requirements-bench.txt requirements-bench.in
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate -o requirements-peers.txt requirements-peers.in

format: $(READY)  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

clean:  ## remove what the doors made: .venv, var and caches
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
