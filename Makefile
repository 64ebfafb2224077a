PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUITE := .venv-suite
TARGET ?= vllm==0.23.0
CASES ?= 3000
SEED ?= 1
MUTANTS ?= 40
MANAGER ?=
BENCH ?=
PROFILE ?= ci

.PHONY: fuzz safe demo drivers vectors check check-long zoo survey test test-vllm-suite lint prove prove-long test-symbolic bench compile compile-loop mutants nightly clean

fuzz: $(VENV)/.ready
	@$(BIN)/kvref fuzz --target $(TARGET) --seed $(SEED) --cases $(CASES)

# Data behind the block ids of any release: TARGET=vllm==0.33.0.
safe: $(VENV)/.ready
	@$(BIN)/kvref fuzz --level safe --target $(TARGET) --seed $(SEED) --cases $(CASES)

demo: $(VENV)/.ready
	@$(BIN)/kvref demo

# Every release: some 8 GB of wheels are downloaded, one after another, and 1 GB of them kept.
survey: $(VENV)/.ready
	@$(BIN)/kvref survey

test: $(VENV)/.ready
	@$(BIN)/pytest -q -n 2

# The example drivers, in Rust (needs cargo) and in plain Python, over the protocol of docs/drivers.md.
drivers: $(VENV)/.ready
	@$(BIN)/python tools/drivers.py

# What must be seen on the committed traces, on any target.
vectors: $(VENV)/.ready
	@$(BIN)/kvref vectors run --target $(TARGET)

# Every small state of the optimized manager and the reference, in a few configurations.
check: $(VENV)/.ready
	@$(BIN)/kvref check

# In all of them, and every seeded fault: docs/check.md.
check-long: $(VENV)/.ready
	@$(BIN)/kvref check --all --seeded-faults --workers 2

# Named bugs, and what kills them, at the levels that keep the targets; docs/zoo.md has the others.
zoo: $(VENV)/.ready
	@$(BIN)/kvref zoo --level exact --level invariants --profile $(PROFILE) --workers 2

# vLLM's own test files, which ask for torch: in an environment of their own, without vLLM.
test-vllm-suite: $(SUITE)/.ready
	@$(SUITE)/bin/python tools/vllm_suite.py $(MANAGER)

lint: $(VENV)/.ready
	@$(BIN)/ruff check --quiet && $(BIN)/ruff format --check --quiet && $(BIN)/mypy && $(BIN)/lint-imports

# What z3, CrossHair and explicit states say, in one table; bounded by counts, not by seconds.
prove: $(VENV)/.ready
	@$(BIN)/python -m tools.prove

# What more effort tells more about; then the page, which a short run holds against itself.
prove-long: $(VENV)/.ready
	@$(BIN)/python -m tools.prove --long --write
	@$(BIN)/python -m tools.prove --write
	@$(BIN)/kvref check --all --most-transitions 300000

# Property tests on examples that CrossHair chooses: ten each, a state machine's of three steps.
test-symbolic: $(VENV)/.ready
	@CROSSHAIR_SMT_RLIMIT=1000000 PYTHONHASHSEED=0 $(BIN)/pytest -q -n 2 --hypothesis-profile=crosshair \
		tests/spec/test_arithmetic.py tests/spec/test_attention.py tests/spec/test_capacity.py \
		tests/spec/test_content.py tests/spec/test_eviction.py tests/spec/test_execution.py \
		tests/spec/test_hits.py tests/spec/test_retention.py \
		tests/testing/test_machine.py::test_a_sound_manager_passes_examples_that_the_loaded_profile_chooses

bench: $(VENV)/.ready
	@$(BIN)/kvref bench $(BENCH)

# The optimized manager and a recorder's taps as native modules, for this interpreter; needs a C compiler.
compile: $(VENV)/.ready
	@$(BIN)/python tools/compile.py

# A copy of the packages in which all that a step of kvref fuzz runs through is native, some minutes of a C compiler.
compile-loop: $(VENV)/.ready
	@$(BIN)/python tools/compile.py --tree build/native

mutants: $(VENV)/.ready
	@$(BIN)/python benchmarks/mutants.py --count $(MUTANTS)

# Fresh seeds: what they find becomes a vector.
nightly: $(VENV)/.ready
	@$(BIN)/kvref fuzz --target $(TARGET) --seed $(shell date +%Y%m%d) --cases 25000
	@$(BIN)/kvref fuzz --level safe --target $(TARGET) --seed $(shell date +%Y%m%d) --cases 10000
	@$(BIN)/kvref fuzz --target optimized --seed $(shell date +%Y%m%d) --cases 25000 --guidance on --workers 2
	@$(MAKE) zoo PROFILE=nightly
	@$(BIN)/pytest -q -m releases -k newest tests/targets/vllm/test_record.py
	@$(MAKE) check-long
	@$(MAKE) compile-loop
	@PYTHONPATH=build/native $(BIN)/python -P -m kvref.cli fuzz --target compiled --seed $(shell date +%Y%m%d) --cases 3000

$(VENV)/.ready: tools/set_up.py requirements-dev.txt pyproject.toml
	@$(PYTHON) tools/set_up.py $(VENV) requirements-dev.txt

$(SUITE)/.ready: tools/set_up.py requirements-suite.txt pyproject.toml
	@$(PYTHON) tools/set_up.py $(SUITE) requirements-suite.txt

clean:
	@rm -rf $(VENV) $(SUITE) kvref/compiled kvref/record/*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis
