"""The engine process: models, generation, the API and training. No Qt in this package."""
