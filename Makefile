# Everything here needs Python 3.11+ and make; the rest is installed into .venv from pinned, hash-checked requirements.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
COMPILED_PIP := .venv-compiled/bin/python -m pip --disable-pip-version-check install --quiet
SEED ?= 1
STEPS ?= 400
SEEDS ?= 200
KILLS ?= 100
# One more than there are cores: many tests wait for a process of their own.
WORKERS ?= $$($(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)')
EXAMPLES ?= 200

.PHONY: help demo serve test laws check compiled fuzz sim crash bench lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    a shop of five services around one bus, in about a minute"
	@echo "make serve   a bus on http://127.0.0.1:8410"
	@echo "make test    all tests"
	@echo "make laws    what is held against chance alone, four times as long, from SEED=$(SEED)"
	@echo "make check   formatting, lint, types, layers"
	@echo "make compiled  the matcher compiled, in an environment of its own, and its tests: needs a C compiler"
	@echo "make fuzz    a real server asked EXAMPLES=$(EXAMPLES) things of each operation, from SEED=$(SEED)"
	@echo "make sim     the simulated house from SEED=$(SEED), SEEDS=$(SEEDS) of them"
	@echo "make crash   the real process killed KILLS=$(KILLS) times"
	@echo "make bench   every benchmark, each beside its yardstick"

.venv/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found. Install one, or name it: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@echo "Setting up .venv with $(PYTHON) ..."
	@$(PYTHON) -m venv .venv || { echo "This Python has no venv module. On Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

.venv/run: requirements/run.txt requirements/build.txt pyproject.toml | .venv/python
	@echo "Installing what Eventyard runs on ..."
	@$(PIP) --require-hashes -r requirements/run.txt
	@$(PIP) --require-hashes -r requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: requirements/dev.txt .venv/run
	@echo "Installing what the tests need ..."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

.venv/fuzz: requirements/fuzz.txt .venv/run
	@echo "Installing what asks the server things ..."
	@$(PIP) --require-hashes -r requirements/fuzz.txt
	@touch $@

.venv/bench: requirements/bench.txt .venv/run
	@echo "Installing what the benchmarks stand beside ..."
	@$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

demo: .venv/run
	@$(BIN)/python examples/shop/demo.py

serve: .venv/run
	@$(BIN)/eventyard serve

# Many tests start processes, which would each compile the whole source where the environment says that none of it is kept, as images often do.
test: .venv/dev
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

laws: .venv/dev
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --hypothesis-profile=long --hypothesis-seed=$(SEED) --timeout 900 --numprocesses $(WORKERS) --dist worksteal \
	  tests/*/test_*laws.py tests/core/test_order.py tests/core/test_pattern_index_conformance.py tests/conformance/test_engines_agree.py

check: .venv/dev
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# Of a copy, since the compiler leaves what it makes beside the source, and the tests of `make test` must not find it there. The copy keeps
# .gitignore: an environment has one that names everything.
.venv-compiled/eventyard: requirements/run.txt requirements/build.txt requirements/dev.txt requirements/compile.txt pyproject.toml $(shell find src -name '*.py') | .venv/python
	@command -v $${CC:-cc} >/dev/null || { echo "No C compiler was found. On Debian: apt-get install gcc python3-dev"; exit 1; }
	@test -x .venv-compiled/bin/python || $(BIN)/python -m venv .venv-compiled
	@echo "Installing what compiles and tests the matcher ..."
	@$(foreach what,run build dev compile,$(COMPILED_PIP) --require-hashes -r requirements/$(what).txt &&) true
	@echo "Compiling ..."
	@rm -rf .venv-compiled/source && mkdir .venv-compiled/source
	@cp -R .gitignore pyproject.toml README.md LICENSE examples src .venv-compiled/source
	@HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(COMPILED_PIP) --no-deps --no-build-isolation --force-reinstall .venv-compiled/source
	@touch $@

compiled: .venv-compiled/eventyard
	@EVENTYARD_TESTS_COMPILED=1 .venv-compiled/bin/python -P -m pytest -o pythonpath=. --numprocesses $(WORKERS) --dist worksteal tests/core/test_pattern_*.py

fuzz: .venv/fuzz
	@$(BIN)/python -m tests.fuzz --seed $(SEED) --examples $(EXAMPLES)

sim: .venv/dev
	@$(BIN)/python -m tests.simulation --seed $(SEED) --seeds $(SEEDS) --steps $(STEPS) --engine memory
	@$(BIN)/python -m tests.simulation --seed $(SEED) --seeds $(SEEDS) --steps $(STEPS) --engine sqlite

crash: .venv/dev
	@$(BIN)/python -m tests.crash --kills $(KILLS)
	@$(BIN)/python -m tests.crash --kills $(KILLS) --engine nats

bench: .venv/bench
	@$(BIN)/python benchmarks/run_all.py

# Needs pip-tools (not pinned here: it only writes the files that are).
LOCK := pip-compile --quiet --generate-hashes --no-emit-options --no-header --strip-extras --allow-unsafe
lock:
	$(LOCK) -o requirements/run.txt pyproject.toml
	$(LOCK) --extra build -c requirements/run.txt -o requirements/build.txt pyproject.toml
	$(LOCK) --extra dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml
	$(LOCK) --extra compile -c requirements/run.txt -c requirements/build.txt -c requirements/dev.txt -o requirements/compile.txt pyproject.toml
	$(LOCK) --extra fuzz -c requirements/run.txt -c requirements/dev.txt -o requirements/fuzz.txt pyproject.toml
	$(LOCK) --extra bench -c requirements/run.txt -o requirements/bench.txt pyproject.toml

clean:
	rm -rf .venv .venv-compiled .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
