# Everything here sets itself up through `make install`: a .venv in this checkout, nothing global, no root.
BIN := .venv/bin
READY := .venv/.ready
DATA ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo study loop test test-slow test-system test-system-machines test-system-prometheus lint format bench bench-peer bench-curve bench-detection lock schemas dashboards starter clean

help:  ## show these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY)  ## make .venv with everything in it

$(READY): requirements/all.txt requirements/uv.txt pyproject.toml
	@for python in $(PYTHON) python3.11 python3.12 python3; do \
	  if $$python -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then break; fi; python=; done; \
	test -n "$$python" || { echo "make install: wanted Python 3.11 or 3.12 with venv; install one, or PYTHON=/path/to/python make install"; exit 1; }; \
	$$python -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/all.txt \
	  || $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/all.txt  # uv does not read pip's configuration
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)  ## twenty good screws to verdicts, in out/demo (DATA=DIR for your own images)
	@$(BIN)/python -m trainer.demo $(DATA)

study: $(READY)  ## the original experiment made again, in out/study (DATA=path/to/mvtec/screw; ARGS=--help says more)
	@$(BIN)/python -m trainer.original --data "$(DATA)" $(ARGS)

# What is asked of a daemon's times runs by itself, all else side by side.
test: $(READY)  ## the tests
	$(BIN)/python -m pytest tests/edge tests/deploy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --ignore tests/edge --ignore tests/deploy

test-slow: $(READY)  ## the tests that take minutes: real screws, an edge-only install
	$(BIN)/python -m pytest -m slow --timeout 900

# Prometheus, which mostly waits, beside the machines, of which there is one at a time. What is left out says why.
test-system: $(READY)  ## a Debian with systemd made here, our service installed in it and mistreated (root, some minutes)
	$(MAKE) --keep-going --jobs 2 test-system-machines test-system-prometheus

test-system-machines test-system-prometheus: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m system --timeout 400 -r s \
	  $(if $(findstring prometheus,$@),tests/system/test_prometheus.py,tests/system --ignore tests/system/test_prometheus.py)

loop: $(READY)  ## train, push, drift, review, retrain, shadow, probation, a bad model: the whole circle (minutes; wants sshd, rsync)
	$(BIN)/python -m tests.system.loop

lint: $(READY)  ## ruff and strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## the numbers of tests/bench/README.md, measured here
	$(BIN)/python -m tests.bench

bench-peer: $(READY)  ## PatchCore and RTMDet on a box against what users have today: one table and plot, in out/bench/peer
	for setting in "256 1638" "256 8000" "384 1638" "384 8000"; do $(BIN)/python -m tests.bench.peer $$setting || exit 1; done
	for side in 320 640; do $(BIN)/python -m tests.bench.peer_boxes $$side || exit 1; done
	$(BIN)/python -m tests.bench.cold_start --json out/bench/cold_start.json
	$(BIN)/python -m tests.bench.peer_table

bench-curve: $(READY)  ## AUC against milliseconds over image size, bank, width and precision, in out/bench/curve
	$(BIN)/python -m tests.bench.curve
	$(BIN)/python -m tests.bench.curve --whole

bench-detection: $(READY)  ## RTMDet on five splits of the real screws (some 20 minutes each)
	$(BIN)/python -m tests.bench.detection

lock: $(READY)  ## renew the hashed lock files
	cd requirements && for lock in "edge" "all --all-extras"; do set -- $$lock; \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $$2 ../pyproject.toml -o $$1.txt; done
	for tool in uv pip; do echo $$tool | \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header - -o requirements/$$tool.txt; done

schemas: $(READY)  ## renew models/schemas
	$(BIN)/python -m models.schemas

dashboards: $(READY)  ## renew deploy/grafana/dashboards
	$(BIN)/python -m deploy.grafana

starter: $(READY)  ## train the starter weights again (four hours on two cores)
	mkdir -p out
	$(BIN)/mekiki-train pretrain --task kinds --out out/kinds1.pth --pictures 600 --batch 32 --steps 1600 --seed 0
	$(BIN)/mekiki-train pretrain --task kinds --out out/kinds.pth --pictures 600 --batch 32 --steps 900 --seed 1 --start out/kinds1.pth
	$(BIN)/mekiki-train pretrain --task comparing --out out/comparing.pth
	$(BIN)/python -m trainer.pretrain.join out/kinds.pth out/comparing.pth models/starter/resnet18.pth
	$(BIN)/mekiki-train render-parts --out out/parts1 --good 700 --damaged 1700 --screws 800 --seed 1
	$(BIN)/mekiki-train fit --family detection --data out/parts1 --out out/parts1.bundle --one-class --image-size 256 --batch 8 --steps 1800
	$(BIN)/mekiki-train render-parts --out out/parts2 --good 500 --damaged 1700 --screws 800 --seed 2 --plain
	$(BIN)/mekiki-train fit --family detection --data out/parts2 --out out/parts2.bundle --one-class --image-size 256 --batch 8 --steps 2400 \
	  --weights out/parts1.bundle.report/weights.pth
	$(BIN)/python -m trainer.pretrain.half out/parts2.bundle.report/weights.pth models/starter/rtmdet-tiny.pth

clean:  ## remove what make made
	rm -rf .venv out *.egg-info
