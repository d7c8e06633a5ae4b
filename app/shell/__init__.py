"""The main window and what holds the panes together."""
