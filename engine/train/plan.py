"""What is trained and how: Nano's config.json, the schedule over training time, and the files of a training folder."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from engine.train.muon_clip import Rates

WARM_STEPS = 60
FLAT_SHARE = 0.3    # of the training time at the full rate, before it falls
LAST_RATE = 0.03    # of the full rate, at the end

NANO_CONFIG: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": 6656, "hidden_size": 256,
    "num_hidden_layers": 6, "first_k_dense_replace": 1, "intermediate_size": 512, "moe_intermediate_size": 128,
    "moe_layer_freq": 1, "n_routed_experts": 32, "num_experts_per_tok": 4, "n_shared_experts": 1,
    "num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": 96, "kv_lora_rank": 64, "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32, "v_head_dim": 32, "n_group": 1, "topk_group": 1, "scoring_func": "sigmoid",
    "topk_method": "noaux_tc", "norm_topk_prob": True, "routed_scaling_factor": 2.0, "rope_theta": 10000.0,
    "rope_interleave": True, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    "attention_bias": False, "attention_dropout": 0.0, "tie_word_embeddings": False, "num_nextn_predict_layers": 0,
    "initializer_range": 0.02, "use_cache": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "torch_dtype": "bfloat16",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One training run.

    minutes is the training time that the rate's schedule spans, over all resumptions; edits_from the share of it
    after which changes to programs, with their long contexts, come in (1: never); kinds the kinds of program to
    train on (none named: all there are).
    """

    folder: Path
    minutes: float
    seed: int = 1
    lr: float = 2.5e-3
    tau: float = 30.0
    gamma: float = 2e-3
    batch_tokens: int = 6144
    edits_from: float = 0.45
    kinds: tuple[str, ...] = ()
    checkpoint_seconds: float = 180.0
    report_steps: int = 10
    rates: Rates = Rates()  # noqa: RUF009 - frozen

    @property
    def checkpoint(self) -> Path:
        """The newest whole training state."""
        return self.folder / "state.safetensors"

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer's files."""
        return self.folder / "tokenizer"

    @property
    def metrics(self) -> Path:
        """One JSON line per report."""
        return self.folder / "metrics.jsonl"


def default_folder() -> Path:
    """Where training state lives: the user's cache, outside any checkout."""
    return Path(platformdirs.user_cache_dir("expertarium")) / "train"


def rate_factor(step: int, progress: float) -> float:
    """Share of the full rate: a linear warm-up over steps, flat, then a cosine down over training time (0 to 1)."""
    warm = min(1.0, (step + 1) / WARM_STEPS)
    fall = min(1.0, max(0.0, (progress - FLAT_SHARE) / (1 - FLAT_SHARE)))
    return warm * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * fall)))


def context_tokens(plan: Plan, progress: float) -> int:
    """Longest document at this point of training: changes see a program beside the request."""
    return 2048 if progress < plan.edits_from else 2560


def stage(plan: Plan, progress: float) -> str:
    """Which table of resources/corpus/mixture.toml is drawn from: short documents first, changes to programs later."""
    return "short" if progress < plan.edits_from else "full"
