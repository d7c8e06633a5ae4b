"""Evaluation of an exported model on held-out requests: `python -m engine.train.evaluate`, `make eval`."""
