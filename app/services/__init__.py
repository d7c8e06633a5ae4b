"""Processes and connections the window uses; Qt, but no widgets."""
