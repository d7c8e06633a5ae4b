"""Colours, fonts and icons, as data."""
