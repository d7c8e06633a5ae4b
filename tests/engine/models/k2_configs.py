"""Small random models that between them turn every switch of the architecture, and their transformers twins."""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from engine.config import ModelConfig, YarnScaling
from engine.models.k2.model import K2Model
from engine.weights.load import empty_module
from engine.weights.names import slots
from engine.weights.save import Storage, save_checkpoint

BASE = ModelConfig(
    vocab_size=97,
    hidden_size=48,
    num_layers=3,
    num_dense_layers=1,
    dense_width=80,
    expert_width=24,
    num_experts=12,
    experts_per_token=3,
    num_shared_experts=1,
    num_heads=3,
    q_lora_rank=20,
    kv_lora_rank=16,
    nope_head_dim=10,
    rope_head_dim=8,
    value_head_dim=14,
    routed_scaling_factor=2.5,
    max_position=600,
    eos_token_ids=(2,),
)
K2_YARN = YarnScaling(
    factor=32.0, original_max_position=64, beta_fast=1.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0
)

CONFIGS: dict[str, ModelConfig] = {
    "base": BASE,
    "no q_lora": replace(BASE, q_lora_rank=None),
    "groups": replace(BASE, num_groups=4, groups_per_token=2, experts_per_token=4),
    "weights not renormalised": replace(BASE, norm_topk_prob=False, routed_scaling_factor=1.0),
    "scaled": replace(BASE, routed_scaling_factor=2.827),
    "two shared experts": replace(BASE, num_shared_experts=2),
    "two dense layers": replace(BASE, num_dense_layers=2),
    "all layers route": replace(BASE, num_dense_layers=0),
    "tied": replace(BASE, tie_word_embeddings=True),
    "yarn as K2": replace(BASE, yarn=K2_YARN, rope_theta=50000.0),
    "yarn with a ramp": replace(
        BASE, yarn=YarnScaling(factor=8.0, original_max_position=75, mscale=0.7, mscale_all_dim=1.3)
    ),
    "yarn without mscale": replace(BASE, yarn=YarnScaling(factor=4.0, original_max_position=150)),
    "top 1": replace(BASE, experts_per_token=1),
    "every expert": replace(BASE, num_experts=4, experts_per_token=4),
    "odd latent": replace(BASE, kv_lora_rank=15, q_lora_rank=21),
    "one head": replace(BASE, num_heads=1, rms_norm_eps=1e-5),
    "kimi_k2": replace(BASE, model_type="kimi_k2", num_layers=4, norm_topk_prob=True),
}


def random_config(seed: int) -> ModelConfig:
    """Every switch and size drawn at random, so that combinations nobody thought of come up too."""
    pick = random.Random(seed)
    num_groups = pick.choice([1, 2, 4])
    groups_per_token = pick.randint(1, num_groups)
    num_experts = num_groups * pick.randint(3, 6)
    return ModelConfig(
        vocab_size=pick.randint(50, 130),
        hidden_size=8 * pick.randint(4, 10),
        num_layers=4,
        num_dense_layers=pick.randint(0, 3),
        dense_width=pick.randint(30, 90),
        expert_width=pick.randint(10, 40),
        num_experts=num_experts,
        experts_per_token=pick.randint(1, groups_per_token * (num_experts // num_groups)),
        num_shared_experts=pick.randint(1, 2),
        num_heads=pick.randint(1, 5),
        q_lora_rank=pick.choice([None, pick.randint(8, 40)]),
        kv_lora_rank=pick.randint(8, 40),
        nope_head_dim=pick.randint(4, 20),
        rope_head_dim=2 * pick.randint(2, 8),
        value_head_dim=pick.randint(4, 24),
        num_groups=num_groups,
        groups_per_token=groups_per_token,
        norm_topk_prob=pick.random() < 0.5,
        routed_scaling_factor=pick.uniform(0.5, 3.0),
        rms_norm_eps=pick.choice([1e-6, 1e-5]),
        rope_theta=pick.choice([10000.0, 50000.0]),
        yarn=pick.choice([None, K2_YARN, YarnScaling(factor=6.0, original_max_position=100, beta_slow=2.0)]),
        max_position=600,
        tie_word_embeddings=pick.random() < 0.5,
        model_type=pick.choice(["kimi_k2", "deepseek_v3"]),
    )


CONFIGS |= {f"random {seed}": random_config(seed) for seed in range(6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """Our model and transformers' with the same weights."""

    config: ModelConfig
    ours: K2Model
    theirs: DeepseekV3ForCausalLM


def random_model(config: ModelConfig, *, seed: int = 0) -> K2Model:
    """A model whose every number is random, norms and biases too, so that none can be left out unnoticed."""
    model = empty_module(config, device=torch.device("cpu"), dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in slots(model):
        if "norm" in name:
            tensor.copy_(1 + 0.3 * torch.randn(tensor.shape, generator=generator))
        elif "bias" in name:
            tensor.copy_(0.2 * torch.randn(tensor.shape, generator=generator))
        else:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * tensor.shape[-1] ** -0.5)
    return model


def make_twins(config: ModelConfig) -> Twins:
    """The same random weights in both implementations."""
    ours = random_model(config)
    values = {**config.to_json(), "model_type": "deepseek_v3"}
    theirs = DeepseekV3ForCausalLM(DeepseekV3Config(**values, attn_implementation="eager")).eval()
    theirs.set_experts_implementation("eager")
    state = _fused(dict(slots(ours)), config)
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    assert config.tie_word_embeddings or not missing
    return Twins(config=config, ours=ours, theirs=theirs)


def random_tokens(config: ModelConfig, count: int, *, seed: int = 0) -> list[int]:
    """Token ids drawn evenly."""
    return torch.randint(0, config.vocab_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


def their_forward(twins: Twins, tokens: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [N, V], chosen experts [N, L, K] and their weights, read by hooks on the routers."""
    routed: list[tuple[Tensor, Tensor]] = []
    hooks = [
        layer.mlp.gate.register_forward_hook(lambda _module, _args, out: routed.append((out[2], out[1])))
        for layer in twins.theirs.model.layers[twins.config.num_dense_layers :]
    ]
    with torch.no_grad():
        logits = twins.theirs(torch.tensor([tokens]), use_cache=False).logits[0]
    for hook in hooks:
        hook.remove()
    ids, weights = (torch.stack([layer[part] for layer in routed], dim=1) for part in (0, 1))
    return logits, ids, weights


def save_model(model: K2Model, folder: Path, *, storage: Storage, shard_bytes: int = 10_000_000) -> None:
    """The model as a checkpoint."""
    save_checkpoint(slots(model), model.config.to_json(), folder, storage=storage, shard_bytes=shard_bytes)



def _fused(tensors: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    state = {name: tensor for name, tensor in tensors.items() if ".experts." not in name}
    for layer in config.moe_layers:
        prefix = f"model.layers.{layer}.mlp.experts"
        stacks = {
            part: torch.stack([tensors[f"{prefix}.{e}.{part}_proj.weight"] for e in range(config.num_experts)])
            for part in ("gate", "up", "down")
        }
        state[f"{prefix}.gate_up_proj"] = torch.cat((stacks["gate"], stacks["up"]), dim=1)
        state[f"{prefix}.down_proj"] = stacks["down"]
    return state
