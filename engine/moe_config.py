"""What a config.json of any mixture-of-experts family says of its layers and experts. Standard library only.

Families spell the same facts differently; every spelling read here is listed in `_SPELLINGS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "num_layers": ("num_hidden_layers", "n_layers", "num_layers"),
    "num_experts": ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts"),
    "top_k": ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts"),
}
_MOST = {"num_layers": 10_000, "num_experts": 65_534, "top_k": 65_534}


@dataclass(frozen=True, slots=True, kw_only=True)
class MoeShape:
    """Layers and experts of a model; `moe_layers` are absolute layer numbers, counted from 0."""

    name: str
    num_layers: int
    moe_layers: tuple[int, ...]
    num_experts: int
    top_k: int


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the part that describes the language model: models that also see keep it one level down."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def find_number(config: Mapping[str, Any], *spellings: str) -> int | None:
    """Give the first of these keys that holds a whole number of at least 0, or None."""
    for key in spellings:
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def moe_shape(config: Mapping[str, Any]) -> MoeShape:
    """Read layers and experts from the object of a config.json.

    Raises:
        ValueError: a number is missing or makes no sense; the message names the key.
    """
    values = text_config(config)
    numbers = {name: _required(values, name) for name in _SPELLINGS}
    if numbers["top_k"] > numbers["num_experts"]:
        raise ValueError(f"The model's config.json gives {numbers['top_k']} experts per token, but only "
                         f"{numbers['num_experts']} experts. Choose the config.json that belongs to this file.")
    layers = tuple(layer for layer in range(numbers["num_layers"]) if _is_moe(values, layer))
    if not layers:
        raise ValueError("The model's config.json leaves no layer with experts. Choose the config.json of a "
                         "mixture-of-experts model.")
    name = str(config.get("_name_or_path") or config.get("model_type") or "")
    return MoeShape(name=name, num_layers=numbers["num_layers"], moe_layers=layers,
                    num_experts=numbers["num_experts"], top_k=numbers["top_k"])


def _required(values: Mapping[str, Any], name: str) -> int:
    keys = _SPELLINGS[name]
    value = find_number(values, *keys)
    if value is None or not 1 <= value <= _MOST[name]:
        raise ValueError(f"The model's config.json has no usable {keys[0]} (also looked for: {', '.join(keys[1:])}). "
                         "Choose the config.json of a mixture-of-experts model.")
    return value


def _is_moe(values: Mapping[str, Any], layer: int) -> bool:
    """Which layers have experts: DeepSeek and Kimi name the first, Qwen a step and exceptions, GLM a list."""
    if layer < (find_number(values, "first_k_dense_replace") or 0) or layer in _listed(values.get("mlp_only_layers")):
        return False
    frequency = values.get("moe_layer_freq")
    if isinstance(frequency, Sequence) and not isinstance(frequency, str):
        return layer < len(frequency) and bool(frequency[layer])
    step = find_number(values, "moe_layer_freq") or 1
    sparse_step = find_number(values, "decoder_sparse_step") or 1
    return layer % step == 0 and (layer + 1) % sparse_step == 0


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
