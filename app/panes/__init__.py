"""The panes of the window, one folder or module each; panes do not import each other."""
