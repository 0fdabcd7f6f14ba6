# Everything a person or CI runs. `make demo` and `make test` need only Python 3.11+ and make.
SHELL := /bin/bash
# Compiled once and kept: without that every process compiles torch anew, many seconds each time.
export PYTHONDONTWRITEBYTECODE :=
VENV  := .venv
BIN   := $(VENV)/bin
PY    := $(BIN)/python
STAMP := $(VENV)/.ready
# The first interpreter found that is new enough; name another with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: setup demo demo-stop quick test long hooks lint types imports light docs ci system bench clean print-quick

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV) && \
		uv pip install --quiet --python $(PY) --constraint constraints.txt --editable '.[dev]'; \
	else \
		"$(PYTHON)" -m venv $(VENV) && \
		$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'; \
	fi
	@touch $(STAMP)

demo: setup
	@$(BIN)/overread demo --out demo-run

# Ends the page that `make demo` left running; fails if there is none.
demo-stop:
	@$(PY) -c "import json, os; os.kill(json.load(open('demo-run/page.json'))['pid'], 15)"

# One worker for each core that a container leaves us, each with threads of its own: those that wait
# must sleep, not spin.
CORES := from overread.cores import usable_cores; print(usable_cores())
test: setup
	OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 \
	$(PY) -m pytest -q -n "$$($(PY) -c '$(CORES)')" --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# What a change needs before a commit, in less than two minutes on two cores: the cheap tests of every
# folder that can be tested without training a network. `make test` has the rest.
QUICK := $(addprefix tests/,docs $(addprefix unit/,\
	bundle dataset/duplicates dataset/read dataset/split documents images pages predict recipe \
	serve/http stats \
	test_cores.py test_errors.py test_extras.py test_files.py test_package.py test_progress.py test_threads.py)) \
	--ignore=tests/docs/test_examples.py
CHEAP := not slow and not statistical and not realdata
quick: lint types imports
	OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 \
	$(PY) -m pytest -q -n "$$($(PY) -c '$(CORES)')" --dist loadfile --no-loadscope-reorder -m "$(CHEAP)" $(QUICK)

# For scripts/long_run.py, which asks the same of other versions of the packages.
print-quick:
	@echo '-m' "'$(CHEAP)'" $(QUICK)

# What CI has no time for; its outcome, with the commit, goes into .ci/long-run.json. Hours.
long: setup
	$(PY) scripts/long_run.py $(STEPS)

# Checks before every commit of this checkout, by the tools that `setup` installed.
hooks: setup
	$(BIN)/pre-commit install

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/typos

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

# The wheel alone, without the training extra, in an environment of its own, answering with a model.
light: setup demo-run/model.overread
	$(PY) tests/install/light_install.py demo-run/model.overread

demo-run/model.overread:
	$(MAKE) demo

docs: setup
	$(PY) docs/make_reference.py
	$(PY) scripts/draw_architecture.py
	$(PY) scripts/third_party_notices.py

# Everything that decides whether a change lands.
ci:
	bash .ci/run

# What CI installs beside Python: a browser for the page tests, a database for the case log. Needs root.
SYSTEM := chromium fonts-noto-cjk postgresql
system:
	@dpkg -s $(SYSTEM) >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq $(SYSTEM) >/dev/null; }

# How fast a model file answers on this machine. The other benchmarks need real images: benchmarks/README.md.
bench: setup
	mkdir -p dist
	$(PY) -m benchmarks.inference --out dist/inference.md

clean:
	rm -rf $(VENV) .venv-long dist build demo-run demo-data
