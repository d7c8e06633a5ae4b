# `make run` and `make test` do all their own set-up; a second run is fast.
.PHONY: help run test lint bench eval experiment train bundle docs setup setup-dev
.DEFAULT_GOAL := help
PY := .venv/bin/python

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: setup  ## start Expertarium
	@$(PY) -m app $(ARGS)

test: setup-dev  ## run every test
	@$(PY) -m pytest $(ARGS)

lint: setup-dev  ## ruff, mypy, import contracts
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

bench: setup-dev  ## measure start-up, speed and stalls beside peers
	@$(PY) -m tests.bench $(ARGS)

train: setup-dev  ## train Nano: tokenizer, data, training, evaluation, export (resumable)
	@MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1 nice -n 10 $(PY) -m engine.train $(ARGS)  # freed pages kept: 3% faster

eval: setup-dev  ## measure Nano on held-out requests, into its card (resumable)
	@$(PY) -m engine.train.evaluate $(ARGS)

experiment: setup-dev  ## AdamW, Muon and MuonClip side by side, into resources/docs
	@$(PY) -m engine.train.experiment $(ARGS)

docs: setup-dev  ## make the screenshots of the README again
	@$(PY) packaging/screenshots.py

setup:
	@packaging/setup.sh run

setup-dev:
	@packaging/setup.sh dev
