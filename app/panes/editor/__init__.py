"""The code editor: Monaco in a web view, over documents that the window keeps."""

from app.panes.editor.pane import EditorPane

__all__ = ["EditorPane"]
