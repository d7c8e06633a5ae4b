"""What the window knows, without Qt: conversations, files, history."""
