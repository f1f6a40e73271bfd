# The two commands of a newcomer are `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: setup demo test bench lint clean optimus-mini

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: setup
	$(BIN)/genera demo

test: setup
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope

bench: setup
	$(BIN)/python -m benchmarks

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=src/genera/cli/method_template/src $(BIN)/mypy -m my_vae -m my_vae.method

# The shipped model: trained, measured and put into the package anew, in about eight minutes of one core.
optimus-mini: setup
	$(BIN)/genera train optimus:mini --out runs/optimus-mini
	$(BIN)/genera evaluate runs/optimus-mini --measures likelihood
	$(BIN)/genera evaluate runs/optimus-mini --data world:captions --measures likelihood latent reconstruction interpolation analogy
	$(BIN)/python tools/ship.py runs/optimus-mini

clean:
	rm -rf $(VENV) build src/*.egg-info
