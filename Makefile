PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: setup demo test lint bench chaos schema image-base clean

setup: $(STAMP)          ## make .venv with pinned versions

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed; call: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 3; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: install your system's python3-venv package"; exit 4; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup              ## the main job: ramp 100 -> 500 -> 1K -> 5K users, faults, verdict, report
	$(BIN)/harness run experiments/ladder.yaml

test: setup              ## the whole suite; missing parts are skipped unless HARNESS_REQUIRE names them
	@code=0; \
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not e2e' || code=$$?; \
	$(BIN)/python -m pytest -m e2e || code=$$?; \
	exit $$code

lint: setup              ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup             ## measured figures, side by side in one run (docs/benchmarks.md)
	$(BIN)/python -m tests.bench

chaos: setup             ## kill the harness at 240 random instants, ask the target, write docs/reliability.md
	$(BIN)/python -m tests.chaos --trials 240 --write

schema: setup            ## write docs/experiment.schema.json from the loader
	$(BIN)/harness schema > docs/experiment.schema.json

image-base:              ## a base image by debootstrap, where no image registry can be reached
	bash fixtures/shop/base-image.sh

clean:
	rm -rf $(VENV) build *.egg-info
