"""Figures: how fast it starts, generates and stays responsive. Run by `make bench`; no test is timed."""
