"""Anatomy against published totals, against our own model's count, and by hand for grouped-query attention."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from engine.anatomy import anatomy
from engine.config import ModelConfig
from tests.engine.models.k2_configs import CONFIGS

ROOT = Path(__file__).parents[2]
PUBLISHED = {model["name"]: model["config"]
             for model in tomllib.loads((ROOT / "resources/anatomy/models.toml").read_text())["models"]}
MIXTRAL: dict[str, Any] = {
    "model_type": "mixtral", "vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "head_dim": 128,
    "intermediate_size": 14336, "num_local_experts": 8, "num_experts_per_tok": 2, "num_attention_heads": 32,
    "num_key_value_heads": 8, "max_position_embeddings": 32768}


def test_the_published_totals() -> None:
    kimi, deepseek = anatomy(PUBLISHED["Kimi K2"]), anatomy(PUBLISHED["DeepSeek-V3"])
    assert kimi.total / 1e9 == pytest.approx(1026.4, abs=0.1)  # "1T", and 1.04T in the report
    assert kimi.active / 1e9 == pytest.approx(32.6, rel=0.03)
    assert deepseek.total / 1e9 == pytest.approx(671, abs=0.5)
    assert deepseek.active / 1e9 == pytest.approx(36.6, abs=0.2)  # as its weights are described, the head included
    assert kimi.kv_bytes_per_token == 61 * 576 * 2
    assert (kimi.precision, kimi.shape.moe_layers[0], deepseek.shape.moe_layers[0]) == ("FP8 (e4m3)", 1, 3)
    assert kimi.flops()["attention"] < deepseek.flops()["attention"]  # half the heads


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_parameters_are_those_of_the_model_that_runs(config: ModelConfig) -> None:
    found = anatomy(config.to_json())
    assert (found.total, found.active) == (config.num_parameters, config.num_active_parameters)


def test_nano_is_counted_whole() -> None:
    config = json.loads((ROOT / "resources/models/nano/config.json").read_text())
    found = anatomy(config, name="Nano")
    assert found.total == ModelConfig.from_json(config).num_parameters
    parts = {part.name: part for part in found.parts}
    assert parts["embedding"].active == 0
    assert parts["routed"].active * config["n_routed_experts"] == parts["routed"].total * config["num_experts_per_tok"]
    assert (parts["routed"].bytes_per_parameter, parts["head"].bytes_per_parameter) == (1.0, 2.0)


def test_grouped_query_attention_by_hand() -> None:
    found = anatomy(MIXTRAL)
    parts = {part.name: part for part in found.parts}
    layer = 2 * 4096 * 4096 + 2 * 4096 * 1024
    assert parts["attention"].total == 32 * (layer + 2 * 4096) + 4096
    assert found.total / 1e9 == pytest.approx(46.7, abs=0.1)
    assert found.active / 1e9 == pytest.approx(12.9 - 0.13, abs=0.05)  # 12.9B with the embedding
    assert found.kv_bytes_per_token == 32 * 2 * 1024 * 2


def test_costs_grow_with_the_context_in_attention_alone() -> None:
    found = anatomy(MIXTRAL)
    short, long = found.flops(0), found.flops(1000)
    assert long["attention"] - short["attention"] == 1000 * 32 * 4 * 4096
    assert {name for name in short if short[name] != long[name]} == {"attention"}
    assert sum(short.values()) == 2 * found.active
    assert found.bytes_read(1000) - found.bytes_read(0) == 1000 * found.kv_bytes_per_token
    assert found.bytes_read(0) == 2 * found.active


@pytest.mark.parametrize("missing", ["hidden_size", "num_attention_heads", "vocab_size", "num_experts_per_tok"])
def test_a_missing_number_is_named(missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        anatomy({key: value for key, value in MIXTRAL.items() if key != missing})
