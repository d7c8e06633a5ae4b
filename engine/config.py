"""The shape of a K2-architecture model, read from a checkpoint's config.json.

`ModelConfig` holds what the maths needs and nothing else. It reads both spellings of the rotary settings
(`rope_theta` + `rope_scaling`, and transformers 5's `rope_parameters`) and writes the older one, which every
engine reads. Where weights lie on disk is the business of engine.weights.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUPPORTED_MODEL_TYPES = ("kimi_k2", "deepseek_v3")
_JsonObject = Mapping[str, Any]
_LARGEST = 1 << 40  # above every size and position there is; keeps nonsense from becoming an overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnScaling:
    """YaRN's stretching of the rotary frequencies (Peng et al. 2023, arXiv 2309.00071)."""

    factor: float
    original_max_position: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    attention_factor: float | None = None
    truncate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Every number of a DeepSeek-V3 / Kimi K2 model; defaults are those that checkpoints leave out."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_dense_layers: int
    dense_width: int
    expert_width: int
    num_experts: int
    experts_per_token: int
    num_shared_experts: int
    num_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    nope_head_dim: int
    rope_head_dim: int
    value_head_dim: int
    num_groups: int = 1
    groups_per_token: int = 1
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 1.0
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    yarn: YarnScaling | None = None
    max_position: int = 4096
    tie_word_embeddings: bool = False
    model_type: str = "deepseek_v3"
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        _check_shape(self)

    @property
    def query_head_dim(self) -> int:
        """Width of one query head: the part without and the part with positions."""
        return self.nope_head_dim + self.rope_head_dim

    @property
    def moe_layers(self) -> tuple[int, ...]:
        """Absolute numbers of the layers that route, counted as the checkpoint does (from 0)."""
        return tuple(range(self.num_dense_layers, self.num_layers))

    @property
    def attention_scale(self) -> float:
        """Factor on q.k: query_head_dim^-0.5, times YaRN's mscale squared (DeepSeek-V3's convention)."""
        scale = float(self.query_head_dim**-0.5)
        if self.yarn is not None and self.yarn.mscale_all_dim:
            scale *= yarn_mscale(self.yarn.factor, self.yarn.mscale_all_dim) ** 2
        return scale

    @property
    def num_parameters(self) -> int:
        """All weights, embeddings and head included (a tied head counts once)."""
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        dense = self.num_dense_layers * 3 * self.hidden_size * self.dense_width
        experts = len(self.moe_layers) * self.num_experts * self._expert_parameters
        return embeddings + dense + experts + self._parameters_outside_experts

    @property
    def num_active_parameters(self) -> int:
        """Weights that one token's forward pass multiplies with (the input embedding is a look-up)."""
        dense = self.num_dense_layers * 3 * self.hidden_size * self.dense_width
        experts = len(self.moe_layers) * self.experts_per_token * self._expert_parameters
        return self.vocab_size * self.hidden_size + dense + experts + self._parameters_outside_experts

    @property
    def _expert_parameters(self) -> int:
        return 3 * self.hidden_size * self.expert_width

    @property
    def _parameters_outside_experts(self) -> int:
        width, heads = self.hidden_size, self.num_heads
        queries = heads * self.query_head_dim
        rank = self.q_lora_rank
        query = width * queries if rank is None else rank * (width + queries + 1)
        keys = width * (self.kv_lora_rank + self.rope_head_dim) + self.kv_lora_rank
        keys += self.kv_lora_rank * heads * (self.nope_head_dim + self.value_head_dim)
        attention = query + keys + heads * self.value_head_dim * width
        router = self.num_experts * (width + 1)
        shared = self.num_shared_experts * self._expert_parameters
        return self.num_layers * (attention + 2 * width) + len(self.moe_layers) * (router + shared) + width

    @classmethod
    def from_json(cls, values: _JsonObject) -> "ModelConfig":
        """Build from the object in a config.json.

        Raises ValueError naming the key, what is wrong with it and what would be right.
        """
        model_type = values.get("model_type")
        if model_type not in SUPPORTED_MODEL_TYPES:
            named = repr(model_type) if model_type else "none"
            raise ValueError(
                f"Unknown architecture: config.json gives model_type {named}"
                f" (architectures: {values.get('architectures')}). This engine opens"
                f" {' and '.join(SUPPORTED_MODEL_TYPES)} models; choose a checkpoint of one of these."
            )
        _refuse_variants(values)
        read = _Reader(values)
        theta, yarn = _read_rope(values)
        num_groups = read.optional_int("n_group") or 1
        return cls(
            vocab_size=read.whole("vocab_size"),
            hidden_size=read.whole("hidden_size"),
            num_layers=read.whole("num_hidden_layers"),
            num_dense_layers=read.whole("first_k_dense_replace", minimum=0),
            dense_width=read.whole("intermediate_size"),
            expert_width=read.whole("moe_intermediate_size"),
            num_experts=read.whole("n_routed_experts"),
            experts_per_token=read.whole("num_experts_per_tok"),
            num_shared_experts=read.optional_int("n_shared_experts") or 0,
            num_heads=read.whole("num_attention_heads"),
            q_lora_rank=read.optional_int("q_lora_rank"),
            kv_lora_rank=read.whole("kv_lora_rank"),
            nope_head_dim=read.whole("qk_nope_head_dim"),
            rope_head_dim=read.whole("qk_rope_head_dim"),
            value_head_dim=read.whole("v_head_dim"),
            num_groups=num_groups,
            groups_per_token=read.optional_int("topk_group") or num_groups,
            norm_topk_prob=bool(values.get("norm_topk_prob", True)),
            routed_scaling_factor=read.number("routed_scaling_factor", 1.0),
            rms_norm_eps=read.number("rms_norm_eps", 1e-6),
            rope_theta=theta,
            yarn=yarn,
            max_position=read.whole("max_position_embeddings"),
            tie_word_embeddings=bool(values.get("tie_word_embeddings", False)),
            model_type=model_type,
            bos_token_id=read.optional_int("bos_token_id"),
            eos_token_ids=_token_ids(values.get("eos_token_id")),
            pad_token_id=read.optional_int("pad_token_id"),
        )

    def to_json(self) -> dict[str, Any]:
        """The object for a config.json that transformers, vLLM, SGLang and the GGUF converter read."""
        ends = self.eos_token_ids
        return {
            "architectures": ["DeepseekV3ForCausalLM"],
            "model_type": self.model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_layers,
            "first_k_dense_replace": self.num_dense_layers,
            "moe_layer_freq": 1,
            "intermediate_size": self.dense_width,
            "moe_intermediate_size": self.expert_width,
            "n_routed_experts": self.num_experts,
            "num_experts_per_tok": self.experts_per_token,
            "n_shared_experts": self.num_shared_experts,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_heads,
            "q_lora_rank": self.q_lora_rank,
            "kv_lora_rank": self.kv_lora_rank,
            "qk_nope_head_dim": self.nope_head_dim,
            "qk_rope_head_dim": self.rope_head_dim,
            "v_head_dim": self.value_head_dim,
            "n_group": self.num_groups,
            "topk_group": self.groups_per_token,
            "scoring_func": "sigmoid",
            "topk_method": "noaux_tc",
            "norm_topk_prob": self.norm_topk_prob,
            "routed_scaling_factor": self.routed_scaling_factor,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": None if self.yarn is None else _yarn_to_json(self.yarn),
            "max_position_embeddings": self.max_position,
            "tie_word_embeddings": self.tie_word_embeddings,
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "num_nextn_predict_layers": 0,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": ends[0] if len(ends) == 1 else list(ends) or None,
            "pad_token_id": self.pad_token_id,
        }


def read_config(path: Path) -> dict[str, Any]:
    """Parse a config.json; ValueError when it is absent or not a JSON object."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"No config.json in {path.parent}. A model folder holds config.json and *.safetensors files;"
            " choose such a folder."
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as JSON ({error}). Fetch the checkpoint's config.json again."
        ) from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no JSON object. Fetch the checkpoint's config.json again.")
    return values


def yarn_mscale(factor: float, mscale: float = 1.0) -> float:
    """YaRN's temperature: 0.1 mscale ln(factor) + 1, and 1 when nothing is stretched."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


class _Reader:
    """Typed look-ups in a config object, with the key in every error."""

    def __init__(self, values: _JsonObject) -> None:
        self._values = values

    def whole(self, key: str, *, minimum: int = 1) -> int:
        value = self._values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= _LARGEST:
            found = "has no" if key not in self._values else f"gives {value!r} for"
            raise ValueError(
                f"config.json {found} {key}; a whole number of at least {minimum} belongs there."
                " Fetch the checkpoint's config.json again, or correct the key."
            )
        return value

    def optional_int(self, key: str) -> int | None:
        return None if self._values.get(key) is None else self.whole(key, minimum=0)

    def number(self, key: str, default: float) -> float:
        value = self._values.get(key, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value) or value <= 0:
            raise ValueError(f"config.json gives {value!r} for {key}; a number above 0 belongs there.")
        return float(value)


def config_object(values: _JsonObject, key: str) -> _JsonObject:
    """The object under `key`, empty when there is none; ValueError when something else stands there."""
    value = values.get(key) or {}
    if not isinstance(value, Mapping):
        raise ValueError(
            f"config.json gives {value!r} for {key}; an object in braces belongs there."
            " Fetch the checkpoint's config.json again."
        )
    return value


def _refuse_variants(values: _JsonObject) -> None:
    expected = {
        "hidden_act": ("silu", None),
        "scoring_func": ("sigmoid", None),
        "topk_method": ("noaux_tc", None),
        "moe_layer_freq": (1, None),
        "attention_bias": (False, None),
        "rope_interleave": (True, None),
    }
    for key, allowed in expected.items():
        if values.get(key) not in allowed:
            raise ValueError(
                f"config.json gives {values[key]!r} for {key}; this engine computes {allowed[0]!r} only."
                " The checkpoint is a variant of the architecture that it cannot run; choose another."
            )


def _read_rope(values: _JsonObject) -> tuple[float, YarnScaling | None]:
    rope = config_object(values, "rope_parameters")
    scaling = config_object(values, "rope_scaling") or rope
    theta = _Reader({"rope_theta": values.get("rope_theta", rope.get("rope_theta", 10000.0))})
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return theta.number("rope_theta", 10000.0), None
    if kind != "yarn":
        raise ValueError(
            f"config.json asks for rotary scaling {kind!r}; this engine knows 'default' and 'yarn'."
            " Choose a checkpoint with one of these."
        )
    return theta.number("rope_theta", 10000.0), _read_yarn(scaling, values)


def _read_yarn(scaling: _JsonObject, values: _JsonObject) -> YarnScaling:
    original = _Reader(scaling).whole("original_max_position_embeddings")
    factor = scaling.get("factor") or _Reader(values).whole("max_position_embeddings") / original
    read = _Reader({**scaling, "factor": factor})

    def optional(key: str) -> float | None:
        return read.number(key, 1.0) if scaling.get(key) else None

    return YarnScaling(
        factor=read.number("factor", 1.0),
        original_max_position=original,
        beta_fast=optional("beta_fast") or 32.0,
        beta_slow=optional("beta_slow") or 1.0,
        mscale=optional("mscale"),
        mscale_all_dim=optional("mscale_all_dim"),
        attention_factor=optional("attention_factor"),
        truncate=bool(scaling.get("truncate", True)),
    )


def _yarn_to_json(yarn: YarnScaling) -> dict[str, Any]:
    written = {
        "type": "yarn",
        "factor": yarn.factor,
        "original_max_position_embeddings": yarn.original_max_position,
        "beta_fast": yarn.beta_fast,
        "beta_slow": yarn.beta_slow,
        "mscale": yarn.mscale,
        "mscale_all_dim": yarn.mscale_all_dim,
        "attention_factor": yarn.attention_factor,
        "truncate": None if yarn.truncate else False,
    }
    return {key: value for key, value in written.items() if value is not None}


def _token_ids(value: object) -> tuple[int, ...]:
    found = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(item, int) and item >= 0 for item in found):
        raise ValueError(f"config.json gives {value!r} for eos_token_id; a token number or a list belongs there.")
    return tuple(found)


def _check_shape(config: ModelConfig) -> None:
    def require(condition: bool, problem: str) -> None:
        if not condition:
            raise ValueError(f"{problem}. The numbers in config.json contradict each other; correct them.")

    require(config.rope_head_dim % 2 == 0, f"qk_rope_head_dim {config.rope_head_dim} is odd, pairs are rotated")
    require(
        config.num_dense_layers <= config.num_layers,
        f"first_k_dense_replace {config.num_dense_layers} exceeds num_hidden_layers {config.num_layers}",
    )
    require(
        config.num_experts % config.num_groups == 0,
        f"n_routed_experts {config.num_experts} is no multiple of n_group {config.num_groups}",
    )
    require(
        config.groups_per_token <= config.num_groups,
        f"topk_group {config.groups_per_token} exceeds n_group {config.num_groups}",
    )
    group_size = config.num_experts // config.num_groups
    require(config.num_groups == 1 or group_size >= 2, "A group of experts needs at least two members")
    require(
        config.experts_per_token <= config.groups_per_token * group_size,
        f"num_experts_per_tok {config.experts_per_token} exceeds the experts a token may choose from",
    )
    require(config.q_lora_rank != 0, "q_lora_rank is 0; leave it null for plain queries")
