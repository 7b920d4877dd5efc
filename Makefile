# Everything a contributor runs, and all that CI calls. `make demo` needs Python >= 3.11 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Where PyTorch's build for CPUs is: PyPI's own brings gigabytes of CUDA. Without a way there, what pip finds elsewhere is taken.
TORCH_INDEX_URL ?= https://download.pytorch.org/whl/cpu
TORCH = $(PIP) --no-deps --retries 0 --extra-index-url $(TORCH_INDEX_URL) torch

# Tests start hundreds of processes; each would compile the sources anew where bytecode may not be kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo test test-all check docs lock format bench faults mutate portable parity clean

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

venv: $(VENV)/.all            ## .venv with every extra and the development tools

demo: $(VENV)/.demo           ## train nothing, show everything: runs/demo/report.html in two minutes
	$(BIN)/densecast demo

test: venv                    ## the default tests
	$(BIN)/pytest -m "not slow and not gpu" --numprocesses auto --dist worksteal --expected-skips-only

test-all: venv                ## all tests
	$(BIN)/pytest -m "not gpu" --numprocesses auto --dist worksteal

check: venv                   ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs:            ## the pages as a site, in build/site; DOCS_BUILDER=mkdocs for the other builder
	test -e .venv-docs/bin/zensical || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --requirement docs/requirements.txt
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/$(or $(DOCS_BUILDER),zensical) build --strict

# Without torch, whose build for CPUs is on PyTorch's own index: it is installed by a line of its own, as for `make venv`.
lock:            ## pylock.toml (PEP 751): what constraints.txt pins, with the hash of every file on PyPI
	test -e .venv-lock/bin/uv || $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --disable-pip-version-check uv
	echo "torch; sys_platform == 'never'" > .venv-lock/no-torch.txt
	.venv-lock/bin/uv pip compile --quiet --format pylock.toml --no-header --constraint constraints.txt --extra all --universal \
	  --override .venv-lock/no-torch.txt --no-emit-package torch --output-file pylock.toml pyproject.toml

format: venv                  ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: venv                   ## compare with what a user would pick instead; results in runs/bench
	$(BIN)/python benchmarks/engines.py --json runs/bench/engines.json
	$(BIN)/python benchmarks/label_kernel.py --json runs/bench/label_kernel.json
	$(BIN)/python benchmarks/pose_decode.py --json runs/bench/pose_decode.json
	$(BIN)/python benchmarks/max_drop.py --json runs/bench/max_drop.json
	$(BIN)/python benchmarks/calibration.py --json runs/bench/calibration.json
	$(BIN)/python benchmarks/peers.py --json runs/bench/peers.json --plot runs/bench/peers.svg
	$(BIN)/python benchmarks/scaling.py --again --json runs/bench/scaling.json --plot runs/bench/scaling.svg
	$(BIN)/python benchmarks/cost.py --json runs/bench/cost.json

faults: venv                  ## damaged model files, and verbs killed, told to end, out of disk, given changed files; at most an hour
	PYTHONPATH=tests/support $(BIN)/python tests/faults/run.py --count $(or $(COUNT),10000) --seconds $(or $(SECONDS),600)

mutate: venv                  ## change the source a little, many times: do the tests notice? at most an hour
	$(BIN)/python tests/mutation/mutate.py --count $(or $(COUNT),300) --seed $(or $(SEED),0) $(SAMPLE)

portable: venv                ## built models on other CPUs, emulated by qemu-x86_64; SAMPLE=--sample for minutes
	$(BIN)/python portable/run.py $(SAMPLE)

parity: venv                  ## compare with the original packages, in a venv of their own
	TORCH_INDEX_URL="$${TORCH_INDEX_URL-}" parity/make_env.sh
	.venv-parity/bin/python parity/check_networks.py
	.venv-parity/bin/python parity/check_labels.py
	.venv-parity/bin/python parity/check_slide.py
	.venv-parity/bin/python parity/check_openmmlab.py
	.venv-parity/bin/python parity/check_keys.py
	.venv-parity/bin/python parity/check_pose.py
	TORCH_INDEX_URL="$${TORCH_INDEX_URL-}" parity/make_env1.sh
	.venv-parity1/bin/python parity/check_mmengine.py
	parity/remake_goldens.sh

clean:                        ## remove what can be made again
	rm -rf runs build dist .mypy_cache .ruff_cache .pytest_cache
	find src -name "*.nb[ic]" -delete

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@test -e $(VENV)/.all || $(TORCH)
	@test -e $(VENV)/.all || $(PIP) --editable '.[torch,quantize]'
	@touch $@

$(VENV)/.all: pyproject.toml constraints.txt | $(BIN)/python
	@$(TORCH)
	$(PIP) --editable '.[all,dev]'
	@touch $@ $(VENV)/.demo
