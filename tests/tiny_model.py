"""A tiny K2 checkpoint with random weights and a real tokenizer, for tests of everything above the maths.

Its words mean nothing, but it has every part: chat template, end token, a dense and two MoE layers. The end
token and the other special tokens have zero rows in the head, so that greedy decoding never meets them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from engine.config import ModelConfig
from engine.train.tokenizer import BOS_ID, END_ID, PAD_ID, SPECIAL_TOKENS, save_tokenizer, train_tokenizer

TINY_CONFIG = ModelConfig(
    vocab_size=384, hidden_size=64, num_layers=3, num_dense_layers=1, dense_width=96, expert_width=32, num_experts=8,
    experts_per_token=2, num_shared_experts=1, num_heads=2, q_lora_rank=32, kv_lora_rank=16, nope_head_dim=16,
    rope_head_dim=8, value_head_dim=16, routed_scaling_factor=1.5, max_position=512, bos_token_id=BOS_ID,
    eos_token_ids=(END_ID,), pad_token_id=PAD_ID,
)
TEXTS = (
    "a snowy mountain scene with pine trees", "show me bouncing balls and make them faster",
    "const scene = new THREE.Scene();\nfunction animate() { requestAnimationFrame(animate); }\n",
    "Here is a mountain scene. Drag to orbit, scroll to zoom.\n\n```html index.html\n<!DOCTYPE html>\n```\n",
    "the quick brown fox jumps over the lazy dog while the moon rises and the sun sets",
)


def make_tiny_checkpoint(folder: Path, *, config: ModelConfig = TINY_CONFIG, seed: int = 0,
                         with_tokenizer: bool = True) -> Path:
    """Write config.json, model.safetensors and a tokenizer into `folder`, which is made; give it back."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, config.to_json())
    save_file(random_tensors(config, seed), folder / "model.safetensors", metadata={"format": "pt"})
    if with_tokenizer:
        save_tokenizer(train_tokenizer(TEXTS * 4, config.vocab_size), folder, config.max_position)
    return folder


def write_config(folder: Path, values: dict[str, Any]) -> None:
    """Write a config.json, which tests may have damaged."""
    (folder / "config.json").write_text(json.dumps(values), "utf-8")


def random_tensors(config: ModelConfig, seed: int) -> dict[str, np.ndarray]:
    """Make every tensor of the checkpoint in float32, scaled so that logits and routing vary by token."""
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) * scale / np.sqrt(columns)).astype(np.float32)

    def ones(size: int) -> np.ndarray:
        return np.ones(size, np.float32)

    width = config.hidden_size
    head = matrix(config.vocab_size, width, 4.0)
    head[: len(SPECIAL_TOKENS)] = 0
    tensors = {"model.embed_tokens.weight": matrix(config.vocab_size, width, 8.0), "model.norm.weight": ones(width),
               "lm_head.weight": head}

    def mlp(prefix: str, inner: int) -> None:
        for name, rows, columns in (("gate", inner, width), ("up", inner, width), ("down", width, inner)):
            tensors[f"{prefix}.{name}_proj.weight"] = matrix(rows, columns)

    for index in range(config.num_layers):
        layer = f"model.layers.{index}"
        attention = f"{layer}.self_attn"
        assert config.q_lora_rank is not None
        tensors |= {
            f"{layer}.input_layernorm.weight": ones(width), f"{layer}.post_attention_layernorm.weight": ones(width),
            f"{attention}.q_a_proj.weight": matrix(config.q_lora_rank, width),
            f"{attention}.q_a_layernorm.weight": ones(config.q_lora_rank),
            f"{attention}.q_b_proj.weight": matrix(config.num_heads * config.query_head_dim, config.q_lora_rank),
            f"{attention}.kv_a_proj_with_mqa.weight": matrix(config.kv_lora_rank + config.rope_head_dim, width),
            f"{attention}.kv_a_layernorm.weight": ones(config.kv_lora_rank),
            f"{attention}.kv_b_proj.weight": matrix(
                config.num_heads * (config.nope_head_dim + config.value_head_dim), config.kv_lora_rank),
            f"{attention}.o_proj.weight": matrix(width, config.num_heads * config.value_head_dim),
        }
        if index < config.num_dense_layers:
            mlp(f"{layer}.mlp", config.dense_width)
            continue
        tensors[f"{layer}.mlp.gate.weight"] = matrix(config.num_experts, width)
        tensors[f"{layer}.mlp.gate.e_score_correction_bias"] = (
            rng.standard_normal(config.num_experts).astype(np.float32) * 0.05)
        for expert in range(config.num_experts):
            mlp(f"{layer}.mlp.experts.{expert}", config.expert_width)
        mlp(f"{layer}.mlp.shared_experts", config.expert_width * config.num_shared_experts)
    return tensors
