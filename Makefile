# Two commands do all the set-up: `make run` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint docs clean

run: $(VENV)/installed
	$(BIN)/python -m recipes.pos_tagging
	@echo
	@echo 'The bundled model, trained on UD_English-EWT: echo "I saw her duck ." | $(BIN)/lstm-zoo pos_tagging predict'
	@echo 'I saw her duck .' | $(BIN)/lstm-zoo pos_tagging predict
	@echo 'More of them: $(BIN)/lstm-zoo'

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy zoo datamodules recipes tools benchmarks/*.py

docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build site *.egg-info

# torch first and by itself: an open range would bring gigabytes of CUDA.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("lstm-zoo needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": name another one, such as make run PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,dev,docs]'
	@touch $@
