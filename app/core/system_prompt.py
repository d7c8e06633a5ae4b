"""Which system prompt a request has. The text for other models than Nano is resources/prompts/system.md."""

from app.core.model_names import is_in_box
from app.core.wire import ModelInfo


def system_prompt(chosen: str, guide: str, model: ModelInfo | None) -> str:
    """The person's own system prompt, if there is one; else our guide to the answer formats.

    Nano gets none: it was trained on the formats, and on no system turn.
    """
    if chosen or model is None or is_in_box(model.id):
        return chosen
    return guide
