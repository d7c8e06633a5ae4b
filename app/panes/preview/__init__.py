"""The preview pane: the project's page running beside the chat."""
