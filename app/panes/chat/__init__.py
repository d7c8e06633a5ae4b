"""The chat pane: transcript, composer, first start. Only pane.py is used from outside."""
