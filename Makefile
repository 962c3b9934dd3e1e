# `make demo` and `make test` are the whole set-up: both make .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
LOWEST := $(shell sed -n 's/.*"keras>=\([0-9.]*\),.*/\1/p' pyproject.toml)
# What depends on Keras' inner life, and so is run on other versions and back ends too.
OF_KERAS := tests/test_fit.py tests/test_fit_equals_keras.py tests/test_programs.py tests/test_seeds.py tests/test_studies.py tests/test_search.py

.PHONY: demo check test test-all address clean

demo: $(INSTALLED)
	$(BIN)/kit run fashion-ladder-mlp --source synthetic --jobs 2 --figures figures

# A minute and a half: the style, and the tests that are not slow.
check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check kit
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not weekly"

# Ten minutes: what CI runs, the notebooks included.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not weekly"

# Forty minutes: JAX and torch as back ends, the lowest and the newest Keras that pyproject.toml allows.
test-all: $(INSTALLED) .other/torch .other/lowest .other/newest
	$(BIN)/python -m pytest -n 2 --dist worksteal
	PYTHONPATH=$(CURDIR)/.other/lowest $(BIN)/python -m pytest -n 2 --dist worksteal $(OF_KERAS)
	PYTHONPATH=$(CURDIR)/.other/newest $(BIN)/python -m pytest -n 2 --dist worksteal $(OF_KERAS)
	KERAS_BACKEND=torch PYTHONPATH=$(CURDIR)/.other/torch $(BIN)/python -m pytest -n 2 --dist worksteal tests/test_fit.py tests/test_seeds.py

# For a fork: make address REPO=owner/name
address:
	$(PYTHON) notebooks/set_address.py $(REPO)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[cpu,jax,search,test]"
	touch $@

.other/torch: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade --target $@ torch

.other/lowest: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ keras==$(LOWEST)

.other/newest: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ "keras<4"

clean:
	rm -rf .venv .other figures runs
