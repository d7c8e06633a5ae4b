"""How models are named and described to people. Plain values."""

import re
from collections.abc import Mapping
from pathlib import Path

from app.core.wire import ModelInfo

_NAMES = {"nano": "Nano"}
_ARCHITECTURES = {"deepseek_v3": "K2", "kimi_k2": "K2"}


def model_name(model_id: str) -> str:
    """A model as people call it: the one in the box is Nano, others keep their folder's name."""
    return _NAMES.get(model_id.lower(), Path(model_id).name if model_id else "Model")


def is_in_box(model_id: str) -> bool:
    """Whether it is the model that ships with the program."""
    return model_id.lower() in _NAMES


def device_label(card: Mapping[str, object]) -> str:
    """What the model runs on in one word: "CPU" of "CPU, 1 thread"; "" when the server does not say."""
    return re.split(r"[\s,:]", str(card.get("device") or ""))[0].upper()


def short_number(value: float) -> str:
    """19200000 as "19M"."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= limit:
            amount = value / limit
            return f"{amount:.0f}{unit}" if amount >= 10 else f"{amount:.1f}".removesuffix(".0") + unit
    return f"{value:.0f}"


def model_title(model: ModelInfo) -> str:
    """ "Nano · K2 19M (4M active)", as far as it is known."""
    card = model.card
    family = _ARCHITECTURES.get(str(card.get("architecture", "")), str(card.get("architecture", "")))
    total, active = card.get("parameters"), card.get("active_parameters")
    size = short_number(total) if isinstance(total, int | float) else ""
    used = f"({short_number(active)} active)" if isinstance(active, int | float) else ""
    facts = " ".join(part for part in (family, size, used) if part)
    return " · ".join(part for part in (model_name(model.id), facts) if part)


def model_facts(card: Mapping[str, object]) -> list[str]:
    """The lines of the menu that describe the model."""
    layers, moe = card.get("num_layers"), card.get("moe_layers")
    lines = []
    if layers is not None:
        num_moe = len(moe) if isinstance(moe, list) else moe
        lines.append(f"{layers} layers, {num_moe} of them with experts" if num_moe else f"{layers} layers")
    if card.get("num_experts"):
        shared = card.get("num_shared_experts") or 0
        plus = f" + {shared} shared" if shared else ""
        top = f", top {card['experts_per_token']}" if card.get("experts_per_token") else ""
        lines.append(f"{card['num_experts']} experts{top}{plus}")
    if card.get("context_length"):
        lines.append(f"context of {card['context_length']} tokens")
    if card.get("fingerprint"):
        lines.append(f"weights {str(card['fingerprint'])[:12]}")
    return lines
