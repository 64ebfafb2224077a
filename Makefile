PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TARGET ?= vllm==0.23.0
CASES ?= 3000
SEED ?= 1

.PHONY: fuzz test lint prove bench mutants nightly clean

fuzz: $(VENV)/.ready
	@$(BIN)/kvref fuzz --target $(TARGET) --seed $(SEED) --cases $(CASES)

test: $(VENV)/.ready
	@$(BIN)/pytest -q -n 2

lint: $(VENV)/.ready
	@$(BIN)/ruff check --quiet && $(BIN)/ruff format --check --quiet && $(BIN)/mypy && $(BIN)/lint-imports

prove: $(VENV)/.ready
	@$(BIN)/crosshair check --analysis_kind=PEP316 --max_uninteresting_iterations=12 --per_condition_timeout=60 spec invariants

bench: $(VENV)/.ready
	@$(BIN)/python benchmarks/pool_size.py && $(BIN)/python benchmarks/lookup.py

mutants: $(VENV)/.ready
	@$(BIN)/python benchmarks/mutants.py

# Fresh seeds: what they find becomes a vector.
nightly: $(VENV)/.ready
	@$(BIN)/kvref fuzz --target $(TARGET) --seed $(shell date +%Y%m%d) --cases 25000

$(VENV)/.ready: tools/set_up.py requirements-dev.txt pyproject.toml
	@$(PYTHON) tools/set_up.py $(VENV)

clean:
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
