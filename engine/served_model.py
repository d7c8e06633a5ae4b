"""A model as the API serves it: its card, tokenizer and sampling defaults, all read-only and safe in any thread.

The weights themselves stay with the worker thread.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.sampling import SamplingParams
from engine.tokenizer import ChatTokenizer

_SAMPLING_FIELDS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """What requests need to know of the loaded model. `tokenizer_problem` says why there is no tokenizer."""

    id: str
    card: Mapping[str, Any]
    context_length: int
    vocab_size: int
    moe_layers: tuple[int, ...]
    end_ids: frozenset[int]
    tokenizer: ChatTokenizer | None
    tokenizer_problem: str
    default_sampling: SamplingParams

    @property
    def fingerprint(self) -> str:
        """What the weights are recognised by."""
        return str(self.card["fingerprint"])


def read_default_sampling(folder: Path) -> SamplingParams:
    """Read what the checkpoint recommends in generation_config.json; plain sampling where it says nothing."""
    values = _generation_config(folder)
    known = {name: values[name] for name in _SAMPLING_FIELDS if isinstance(values.get(name), int | float)}
    try:
        return replace(SamplingParams(), **known)
    except ValueError:  # another engine's meaning of a field must not keep the model from being used
        return SamplingParams()


def read_end_ids(folder: Path) -> frozenset[int]:
    """Collect the end tokens that generation_config.json and config.json name."""
    found: set[int] = set()
    for values in (_generation_config(folder), _json_object(folder / "config.json")):
        value = values.get("eos_token_id")
        found.update(item for item in (value if isinstance(value, list) else [value]) if isinstance(item, int))
    return frozenset(found)


def _generation_config(folder: Path) -> dict[str, Any]:
    return _json_object(folder / "generation_config.json")


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
