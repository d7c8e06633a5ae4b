"""The training network against transformers' DeepSeek-V3, its gradients, its packing, and what the export stores."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from engine.train.data import Document, block_mask, pack
from engine.train.export import checkpoint_tensors, export_model
from engine.train.network import Batch, Network, Shape, Weight, initial_masters, sampled_rows, weight_table
from engine.train.plan import NANO_CONFIG
from engine.train.tokenizer import save_tokenizer, train_tokenizer
from engine.weights.fp8 import decode_blocks, encode_blocks
from engine.weights.load import load_model
from engine.weights.save import stored_tensors

CONFIG: dict[str, Any] = {
    **NANO_CONFIG, "vocab_size": 96, "hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 80,
    "moe_intermediate_size": 24, "n_routed_experts": 8, "num_experts_per_tok": 3, "q_lora_rank": 40, "kv_lora_rank": 24,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12, "num_attention_heads": 2, "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
SHAPE = Shape.from_config(CONFIG)


def document(length: int, seed: int) -> Document:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 96, (length,), generator=generator).numpy()
    return Document(ids=ids, weights=torch.rand(length, generator=generator).numpy() + 1, kind="k", type="create",
                    prompt_tokens=0)


def masters_and_biases() -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    return initial_masters(SHAPE, 0), torch.rand(3, 8, generator=generator) * 0.2


def reference() -> DeepseekV3ForCausalLM:
    masters, biases = masters_and_biases()
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**CONFIG, attn_implementation="eager")).float()
    parameters = checkpoint_tensors(SHAPE, masters, biases)
    theirs = dict(model.state_dict())
    fused = {}
    for name in theirs:
        if name.endswith("experts.gate_up_proj"):
            stem = name.removesuffix("gate_up_proj")
            fused[name] = torch.stack([torch.cat([parameters[f"{stem}{e}.gate_proj.weight"],
                                                  parameters[f"{stem}{e}.up_proj.weight"]]) for e in range(8)])
        elif name.endswith("experts.down_proj"):
            stem = name.removesuffix("down_proj")
            fused[name] = torch.stack([parameters[f"{stem}{e}.down_proj.weight"] for e in range(8)])
        else:
            fused[name] = parameters[name]
    model.load_state_dict(fused)
    return model.eval()


def packed(lengths: list[int]) -> tuple[list[Document], Batch]:
    documents = [document(length, seed) for seed, length in enumerate(lengths)]
    return documents, pack(documents, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("lengths", [[301], [40, 50, 30], [140, 20, 33, 260]])
def test_losses_equal_transformers_for_packed_documents(lengths: list[int]) -> None:
    documents, batch = packed(lengths)
    masters, biases = masters_and_biases()
    network = Network(SHAPE, masters, biases, torch.float32)
    loss, _rows = network.loss(batch)
    model, total, weight = reference(), 0.0, 0.0
    for item in documents:
        ids = torch.from_numpy(item.ids)
        with torch.no_grad():
            logits = model(ids[None, :-1]).logits[0]
        losses = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
        weights = torch.from_numpy(item.weights[1:])
        total += float((losses * weights).sum())
        weight += float(weights.sum())
    assert abs(float(loss.detach()) - total / weight) < 1e-4


def test_gradients_equal_transformers() -> None:
    documents, batch = packed([280])
    masters, biases = masters_and_biases()
    network = Network(SHAPE, masters, biases, torch.float32)
    network.loss(batch)[0].backward()
    model = reference()
    ids, weights = torch.from_numpy(documents[0].ids), torch.from_numpy(documents[0].weights[1:])
    losses = torch.nn.functional.cross_entropy(model(ids[None, :-1]).logits[0], ids[1:], reduction="none")
    ((losses * weights).sum() / weights.sum()).backward()
    gradients = {name: weight.grad for name, weight in network.weights.items()}
    ours = checkpoint_tensors(SHAPE, gradients, biases)
    theirs = dict(model.named_parameters())
    for name in ("model.embed_tokens.weight", "lm_head.weight", "model.norm.weight",
                 "model.layers.0.self_attn.q_b_proj.weight", "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",
                 "model.layers.1.self_attn.kv_b_proj.weight", "model.layers.1.self_attn.q_a_layernorm.weight",
                 "model.layers.0.mlp.gate_proj.weight", "model.layers.2.mlp.gate.weight",
                 "model.layers.2.mlp.shared_experts.down_proj.weight", "model.layers.0.input_layernorm.weight"):
        kept = slice(1, None) if "embed" in name else slice(None)  # transformers leaves the padding row out
        torch.testing.assert_close(ours[name][kept], theirs[name].grad[kept], atol=2e-5, rtol=2e-3, msg=name)
    stacked = theirs["model.layers.1.mlp.experts.gate_up_proj"].grad
    for expert in range(8):
        torch.testing.assert_close(ours[f"model.layers.1.mlp.experts.{expert}.up_proj.weight"], stacked[expert, 24:],
                                   atol=2e-5, rtol=2e-3)


def test_rows_that_count_little_are_a_sample_of_that_share() -> None:
    weights = torch.tensor([0.0, 4.0] + [0.05] * 400 + [1.0] * 7 + [0.5] * 30)
    rows = sampled_rows(weights)
    of_weight = {weight: int((weights[rows] == weight).sum()) for weight in (0.0, 4.0, 1.0)}
    assert of_weight == {0.0: 0, 4.0: 1, 1.0: 7}
    assert int((weights[rows] == torch.tensor(0.05)).sum()) == pytest.approx(400 * 0.05, abs=1)
    assert int((weights[rows] == 0.5).sum()) == pytest.approx(30 * 0.5, abs=1)


def test_a_sampled_row_counts_one() -> None:
    _documents, batch = packed([40])
    network = Network(SHAPE, *masters_and_biases(), torch.float32)
    halves = replace(batch, weights_T=torch.full((39,), 0.5))
    loss, rows = network.loss(halves)
    taken = sampled_rows(halves.weights_T)
    assert len(taken) == 19
    assert (rows > 0).nonzero()[:, 0].tolist() == taken.tolist()
    whole = network.loss(replace(batch, weights_T=torch.ones(39)))[1]
    torch.testing.assert_close(loss, whole[taken].mean())


def test_the_mask_closes_between_documents() -> None:
    mask = block_mask([2, 1], torch.float32)
    assert (mask == 0).tolist() == [[True, False, False], [True, True, False], [False, False, True]]


def test_quantised_blocks_are_near_and_have_one_scale_each() -> None:
    weight = torch.randn(256, 384, generator=torch.Generator().manual_seed(0))
    weight[128:] *= 100
    values, scales = encode_blocks(weight)
    assert scales.shape == (2, 3)
    assert values.dtype == torch.float8_e4m3fn
    spread = scales.repeat_interleave(128, 0).repeat_interleave(128, 1)
    restored = values.float() * spread
    assert ((restored - weight).norm() / weight.norm()) < 0.04


def test_the_router_and_its_bias_stay_float32(tmp_path: Path) -> None:
    tensors = dict(stored_tensors(checkpoint_tensors(SHAPE, *masters_and_biases()).items(), "fp8"))
    assert tensors["model.layers.1.mlp.gate.weight"].dtype == torch.float32
    assert tensors["model.layers.1.mlp.gate.e_score_correction_bias"].dtype == torch.float32
    assert tensors["model.layers.1.mlp.experts.3.down_proj.weight"].dtype == torch.float8_e4m3fn
    assert tensors["model.embed_tokens.weight"].dtype == torch.bfloat16


def test_the_exported_folder_runs_in_the_engine_as_trained(tmp_path: Path) -> None:
    """The training network with the weights as rounded to FP8 and the engine with the folder give the same logits."""
    save_tokenizer(train_tokenizer(["a snowy mountain scene, with trees and stars"] * 50, 280), tmp_path / "t", 512)
    config = {**NANO_CONFIG, "num_hidden_layers": 2, "vocab_size": 280, "n_routed_experts": 8}
    export_model(None, config, tmp_path / "t", tmp_path / "m")
    loaded = load_model(tmp_path / "m", device=torch.device("cpu"), dtype=torch.float32).model
    shape = Shape.from_config(config)
    masters = initial_masters(shape, 0)
    for weight in weight_table(shape):
        masters[weight.name] = rounded(masters[weight.name], weight)
    network = Network(shape, masters, torch.zeros(2, 8), torch.float32)
    given = document(60, 3)
    hidden = network.hidden(pack([given], torch.device("cpu"), torch.float32))
    ours = hidden.detach() @ masters["head"].t()
    theirs = loaded.prefill(given.ids[:-1].tolist(), loaded.new_cache(), all_logits=True).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def rounded(master: Tensor, weight: Weight) -> Tensor:
    if not weight.matrix:
        return master.bfloat16().float()
    if weight.name.endswith("gate"):
        return master
    sizes = [rows for _name, rows in weight.parts]
    stack = master.view(-1, *master.shape[-2:])
    blocks = [[decode_blocks(*encode_blocks(part)) for part in matrix.split(sizes)] for matrix in stack]
    return torch.stack([torch.cat(parts) for parts in blocks]).view(master.shape)
