"""A model's anatomy from its config.json: parameters, bytes, KV cache and arithmetic per token, part by part.

Parameters are exact for DeepSeek-V3 / Kimi K2 (tested against their published totals); for other families, attention
is counted as grouped-query attention without biases. One multiplication and one addition are two FLOPs. Attention's
scores are counted in the plain form: per head and position of the context, one product with the key and one with the
value. Standard library only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.moe_config import MoeShape, find_number, moe_shape, text_config

PARTS = ("embedding", "attention", "router", "routed", "shared", "dense", "head")
KV_BYTES_PER_VALUE = 2  # bfloat16, as every common engine keeps it
_FULL_PRECISION = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
_NEVER_QUANTISED = ("embedding", "router", "head")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a model. `total` parameters, of which one token's pass multiplies with `active`."""

    name: str
    total: int
    active: int
    bytes_per_parameter: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """What one token costs. `kv_values_per_layer` and `score_width` are per token and per position of the context."""

    name: str
    shape: MoeShape
    num_shared: int
    num_heads: int
    hidden_size: int
    context_length: int
    precision: str
    parts: tuple[Part, ...]
    kv_values_per_layer: int
    score_width: int

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(part.total for part in self.parts)

    @property
    def active(self) -> int:
        """Parameters that one token's pass multiplies with; the input embedding is a look-up and not among them."""
        return sum(part.active for part in self.parts)

    @property
    def kv_bytes_per_token(self) -> int:
        """What one token adds to the KV cache."""
        return self.shape.num_layers * self.kv_values_per_layer * KV_BYTES_PER_VALUE

    def bytes_read(self, context: int = 0) -> float:
        """Bytes read from memory to write one token after `context` tokens: active weights and the KV cache."""
        weights = sum(part.active * part.bytes_per_parameter for part in self.parts)
        return weights + context * self.kv_bytes_per_token

    def flops(self, context: int = 0) -> dict[str, int]:
        """FLOPs to write one token after `context` tokens, by part."""
        found = {part.name: 2 * part.active for part in self.parts if part.name != "embedding"}
        found["attention"] += 2 * context * self.score_width * self.shape.num_layers
        return found


def anatomy(config: Mapping[str, Any], *, name: str = "") -> Anatomy:
    """Read a config.json's object.

    Raises:
        ValueError: it is no mixture-of-experts model, or a number is missing; the message names the key.
    """
    shape, values = moe_shape(config), text_config(config)
    width, heads = _need(values, "hidden_size"), _need(values, "num_attention_heads")
    attention, kv_values, score_width = _attention(values, width, heads)
    expert = 3 * width * (find_number(values, "moe_intermediate_size") or _need(values, "intermediate_size"))
    num_moe, num_dense = len(shape.moe_layers), shape.num_layers - len(shape.moe_layers)
    num_shared = find_number(values, "n_shared_experts", "num_shared_experts") or 0
    shared = num_shared * expert or 3 * width * (find_number(values, "shared_expert_intermediate_size") or 0)
    dense = 3 * width * _need(values, "intermediate_size") if num_dense else 0
    vocabulary = _need(values, "vocab_size") * width
    tied = bool(values.get("tie_word_embeddings", False))
    bias = shape.num_experts if values.get("topk_method") == "noaux_tc" else 0
    norms = (2 * shape.num_layers + 1) * width
    router = num_moe * (shape.num_experts * width + bias)
    counted = {
        "embedding": (0 if tied else vocabulary, 0), "head": (vocabulary, vocabulary),
        "attention": (shape.num_layers * attention + norms,) * 2, "router": (router, router),
        "routed": (num_moe * shape.num_experts * expert, num_moe * shape.top_k * expert),
        "shared": (num_moe * shared,) * 2, "dense": (num_dense * dense,) * 2}
    full, routed, precision = _precision(config, values)
    parts = tuple(Part(name=part, total=counted[part][0], active=counted[part][1], bytes_per_parameter=(
        full if part in _NEVER_QUANTISED else routed[part == "routed"])) for part in PARTS)
    return Anatomy(
        name=name or shape.name, shape=shape, num_shared=num_shared or int(bool(shared)), num_heads=heads,
        hidden_size=width, context_length=find_number(values, "max_position_embeddings") or 0, precision=precision,
        parts=parts, kv_values_per_layer=kv_values, score_width=score_width)


def _attention(values: Mapping[str, Any], width: int, heads: int) -> tuple[int, int, int]:
    """Parameters of one layer's attention, values it adds to the cache per token, width of its scores."""
    rank = find_number(values, "kv_lora_rank")
    if rank:  # multi-head latent attention (DeepSeek-V2, arXiv 2405.04434)
        nope, rope = _need(values, "qk_nope_head_dim"), _need(values, "qk_rope_head_dim")
        value, query_rank = _need(values, "v_head_dim"), find_number(values, "q_lora_rank")
        queries = heads * (nope + rope)
        query = query_rank * (width + queries + 1) if query_rank else width * queries
        latent = width * (rank + rope) + rank + rank * heads * (nope + value)
        return query + latent + heads * value * width, rank + rope, heads * (nope + rope + value)
    kv_heads = find_number(values, "num_key_value_heads") or heads
    size = find_number(values, "head_dim") or width // heads
    return 2 * width * heads * size + 2 * width * kv_heads * size, 2 * kv_heads * size, 2 * heads * size


def _precision(config: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[float, tuple[float, float], str]:
    """Bytes per parameter: unquantised, (other parts, routed experts), and the name of it all."""
    name = str(values.get("torch_dtype") or values.get("dtype") or config.get("torch_dtype") or "bfloat16")
    full = _FULL_PRECISION.get(name, 2.0)
    found = config.get("quantization_config") or values.get("quantization_config")
    quantisation: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    method = str(quantisation.get("quant_method") or "")
    if method == "fp8":
        return full, (1.0, 1.0), "FP8 (e4m3)"
    if method in ("compressed-tensors", "mxfp4"):  # 4-bit routed experts, the rest as it was
        return full, (full, 0.5), "4-bit experts"
    return full, (full, full), name


def _need(values: Mapping[str, Any], key: str) -> int:
    found = find_number(values, key)
    if not found:
        raise ValueError(f"The model's config.json has no usable {key}. Choose the config.json of a "
                         "mixture-of-experts model.")
    return found
