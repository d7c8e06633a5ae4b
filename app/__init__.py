"""Expertarium's desktop window: chat, editor, preview, inspector. No torch in this package."""
