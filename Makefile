# `make demo` and `make test` are the whole set-up: both make .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test address clean

demo: $(INSTALLED)
	$(BIN)/kit run fashion-ladder-mlp --source synthetic --jobs 2 --figures figures

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2

# For a fork: make address REPO=owner/name
address:
	$(PYTHON) notebooks/set_address.py $(REPO)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[cpu,jax,search,test]"
	touch $@

clean:
	rm -rf .venv figures runs
