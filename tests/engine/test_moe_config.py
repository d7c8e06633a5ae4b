"""Layers and experts, in the spellings of several families."""

from typing import Any

import pytest

from engine.moe_config import moe_shape

BASE: dict[str, Any] = {"num_hidden_layers": 6, "num_experts": 8, "num_experts_per_tok": 2}


@pytest.mark.parametrize(("extra", "layers"), [
    ({}, (0, 1, 2, 3, 4, 5)),
    ({"first_k_dense_replace": 2}, (2, 3, 4, 5)),
    ({"mlp_only_layers": [0, 5]}, (1, 2, 3, 4)),
    ({"decoder_sparse_step": 2}, (1, 3, 5)),
    ({"moe_layer_freq": [0, 0, 1, 1, 0, 1]}, (2, 3, 5)),
    ({"moe_layer_freq": 2, "first_k_dense_replace": 1}, (2, 4)),
])
def test_which_layers_have_experts(extra: dict[str, Any], layers: tuple[int, ...]) -> None:
    assert moe_shape({**BASE, **extra}).moe_layers == layers


def test_other_spellings_and_models_that_also_see() -> None:
    inner = {"num_hidden_layers": 2, "n_routed_experts": 4, "num_experts_per_token": 1}
    shape = moe_shape({"model_type": "sees", "text_config": inner})
    assert (shape.name, shape.num_experts, shape.top_k, shape.moe_layers) == ("sees", 4, 1, (0, 1))


@pytest.mark.parametrize("wrong", [
    {"num_experts": 0}, {"num_experts": True}, {"num_hidden_layers": "6"}, {"num_experts_per_tok": 9},
    {"first_k_dense_replace": 6}, {"num_hidden_layers": 10**9}, {"num_experts": 70_000}])
def test_nonsense_is_refused_with_the_next_step(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Choose the config\.json"):
        moe_shape({**BASE, **wrong})
