"""Registers every address scheme of the program. Qt wants this before the application object exists."""

from app.services.editor_scheme import register_editor_scheme
from app.services.preview_scheme import register_preview_scheme


def register_schemes() -> None:
    """Register the editor's and the preview's scheme; a second call does nothing."""
    register_editor_scheme()
    register_preview_scheme()
