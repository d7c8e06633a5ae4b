"""Reading config.json: what is understood, what is refused and how that reads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.config import ModelConfig, read_config
from tests.engine.models.k2_configs import BASE, CONFIGS

K2_INSTRUCT: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "kimi_k2", "num_hidden_layers": 61,
    "first_k_dense_replace": 1, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
    "n_routed_experts": 384, "num_experts_per_tok": 8, "n_shared_experts": 1, "num_attention_heads": 64,
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "n_group": 1, "topk_group": 1, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": True,
    "routed_scaling_factor": 2.827, "vocab_size": 163840, "rope_theta": 50000.0, "max_position_embeddings": 131072,
    "rope_scaling": {"type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 1.0,
                     "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0},
    "rms_norm_eps": 1e-6, "bos_token_id": 163584, "eos_token_id": 163585, "num_nextn_predict_layers": 0,
}


def test_kimi_k2_is_understood() -> None:
    config = ModelConfig.from_json(K2_INSTRUCT)
    assert config.num_parameters / 1e9 == pytest.approx(1026.4, abs=0.1)
    assert config.num_active_parameters / 1e9 == pytest.approx(32.9 - 163840 * 7168 / 1e9, abs=0.1)
    assert config.moe_layers == tuple(range(1, 61))
    assert config.attention_scale == pytest.approx(192**-0.5 * 1.813, rel=1e-3)
    assert config.eos_token_ids == (163585,)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_what_is_written_reads_back_the_same(config: ModelConfig) -> None:
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_several_end_tokens() -> None:
    config = replace(BASE, eos_token_ids=(2, 7))
    assert ModelConfig.from_json(config.to_json()).eos_token_ids == (2, 7)


def test_the_newer_spelling_of_rotary_settings() -> None:
    values = dict(K2_INSTRUCT)
    scaling = values.pop("rope_scaling")
    theta = values.pop("rope_theta")
    values["rope_parameters"] = {**scaling, "rope_type": scaling["type"], "rope_theta": theta}
    assert ModelConfig.from_json(values) == ModelConfig.from_json(K2_INSTRUCT)


def test_another_architecture_is_named_beside_what_is_supported() -> None:
    with pytest.raises(ValueError, match=r"'qwen3_moe' .*Qwen3MoeForCausalLM.* kimi_k2 and deepseek_v3"):
        ModelConfig.from_json({"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"]})
    with pytest.raises(ValueError, match="model_type none"):
        ModelConfig.from_json({})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None}, "gives None for hidden_size"),
        ({"num_attention_heads": 0}, "gives 0 for num_attention_heads"),
        ({"vocab_size": "many"}, "'many' for vocab_size"),
        ({"scoring_func": "softmax"}, "'softmax' for scoring_func"),
        ({"attention_bias": True}, "True for attention_bias"),
        ({"rope_scaling": {"type": "longrope"}}, "rotary scaling 'longrope'"),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, "has no original_max_position_embeddings"),
        ({"qk_rope_head_dim": 63}, "63 is odd"),
        ({"n_group": 7}, "no multiple of n_group 7"),
        ({"n_group": 8, "topk_group": 9}, "topk_group 9 exceeds"),
        ({"num_experts_per_tok": 400}, "num_experts_per_tok 400 exceeds"),
        ({"first_k_dense_replace": 62}, "first_k_dense_replace 62 exceeds"),
        ({"routed_scaling_factor": -1}, "-1 for routed_scaling_factor"),
        ({"eos_token_id": "end"}, "'end' for eos_token_id"),
        ({"rope_scaling": "yarn"}, "'yarn' for rope_scaling"),
        ({"rope_parameters": [1]}, r"\[1\] for rope_parameters"),
        ({"num_hidden_layers": 10**30}, "for num_hidden_layers"),
    ],
)
def test_each_contradiction_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_json({**K2_INSTRUCT, **changes})


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"No config\.json in"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{oops")
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        read_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ValueError, match="no JSON object"):
        read_config(tmp_path / "config.json")
