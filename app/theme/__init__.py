"""Colours, fonts, icons and the few styled controls every pane shares."""
