"""What the window's tests need before the application object exists: web flags and our URL schemes."""

import os
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.services.web_flags import apply_web_flags
from app.services.web_schemes import register_schemes
from app.theme.theme import Theme

apply_web_flags(os.environ)
register_schemes()


@pytest.fixture
def theme(qapp: QApplication) -> Theme:
    """The dark theme."""
    return Theme(qapp, "dark")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder
