"""Our K2 model against transformers' DeepseekV3ForCausalLM: logits, experts and weights, in every mode."""

import pytest
import torch
from torch import Tensor

from engine.models.k2.moe import MoeBlock
from engine.models.k2.runner import K2Runner
from tests.engine.models.k2_configs import CONFIGS, Twins, make_twins, random_tokens, their_forward

LOGIT_TOLERANCE = 1e-4
NUM_TOKENS = 300  # more than one query tile


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS.keys())
def twins(request: pytest.FixtureRequest) -> Twins:
    torch.set_num_threads(1)
    return make_twins(request.param)


@pytest.fixture(scope="module")
def tokens(twins: Twins) -> list[int]:
    return random_tokens(twins.config, NUM_TOKENS)


@pytest.fixture(scope="module")
def theirs(twins: Twins, tokens: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    return their_forward(twins, tokens)


def assert_same_routing(ids: Tensor, weights: Tensor, their_ids: Tensor, their_weights: Tensor) -> None:
    order, their_order = ids.argsort(-1), their_ids.argsort(-1)
    assert torch.equal(ids.gather(-1, order), their_ids.gather(-1, their_order))
    torch.testing.assert_close(
        weights.gather(-1, order), their_weights.gather(-1, their_order), atol=1e-5, rtol=1e-4
    )


def test_prefill_gives_the_same_logits_and_experts(
    twins: Twins, tokens: list[int], theirs: tuple[Tensor, Tensor, Tensor]
) -> None:
    logits, ids, weights = theirs
    runner = K2Runner(twins.ours)
    ours = runner.prefill(tokens, runner.new_cache(), capture="ids", all_logits=True)
    torch.testing.assert_close(ours.logits, logits, atol=LOGIT_TOLERANCE, rtol=0)
    assert ours.routing is not None
    assert_same_routing(ours.routing.ids_NLK, ours.routing.weights_NLK, ids, weights)


def test_decoding_step_by_step_gives_the_same(
    twins: Twins, tokens: list[int], theirs: tuple[Tensor, Tensor, Tensor]
) -> None:
    logits, ids, weights = theirs
    runner = K2Runner(twins.ours)
    cache = runner.new_cache()
    runner.prefill(tokens[:5], cache)
    for position in range(5, 60):
        ours = runner.decode([tokens[position]], [cache], capture="ids")
        torch.testing.assert_close(ours.logits[0], logits[position], atol=LOGIT_TOLERANCE, rtol=0)
        assert ours.routing is not None
        row = slice(position, position + 1)
        assert_same_routing(ours.routing.ids_NLK, ours.routing.weights_NLK, ids[row], weights[row])


def test_prefix_reuse_and_batched_decode_give_the_same(
    twins: Twins, tokens: list[int], theirs: tuple[Tensor, Tensor, Tensor]
) -> None:
    logits = theirs[0]
    runner = K2Runner(twins.ours)
    long = runner.new_cache()
    runner.prefill(tokens[:260], long)
    runner.prefill(tokens[260:290], long)
    lengths = [17, 3, 40, 128, 1, 77, 250, 60, 9, 290]
    caches = []
    for length in lengths:
        branch = long.copy()
        branch.truncate(length)
        caches.append(branch)
    for step in range(3):
        ours = runner.decode([tokens[length + step] for length in lengths], caches)
        expected = torch.stack([logits[length + step] for length in lengths])
        torch.testing.assert_close(ours.logits, expected, atol=LOGIT_TOLERANCE, rtol=0)


def test_pinned_routing_gives_the_same_and_other_experts_do_not(
    twins: Twins, tokens: list[int], theirs: tuple[Tensor, Tensor, Tensor]
) -> None:
    logits, ids, weights = theirs
    runner = K2Runner(twins.ours)
    cache = runner.new_cache()
    ours = runner.prefill(tokens[:50], cache, capture="ids", all_logits=True, pinned_NLK=ids[:50])
    torch.testing.assert_close(ours.logits, logits[:50], atol=LOGIT_TOLERANCE, rtol=0)
    step = runner.decode([tokens[50]], [cache], capture="ids", pinned_NLK=ids[50:51])
    torch.testing.assert_close(step.logits[0], logits[50], atol=LOGIT_TOLERANCE, rtol=0)
    assert step.routing is not None
    assert torch.equal(step.routing.ids_NLK, ids[50:51])
    torch.testing.assert_close(step.routing.weights_NLK, weights[50:51], atol=1e-5, rtol=1e-4)
    if twins.config.num_experts > twins.config.experts_per_token:
        others = (ids[:50] + 1) % twins.config.num_experts
        changed = runner.prefill(tokens[:50], runner.new_cache(), all_logits=True, pinned_NLK=others)
        assert (changed.logits - logits[:50]).abs().max() > 0.01


def test_the_plain_pass_gives_the_same_logits_and_gradients(twins: Twins, tokens: list[int]) -> None:
    few = torch.tensor(tokens[:40])
    twins.ours.requires_grad_(requires_grad=True)
    logits = twins.ours(few)
    logits.logsumexp(-1).sum().backward()
    their_logits = twins.theirs(few[None], use_cache=False).logits[0]
    their_logits.logsumexp(-1).sum().backward()
    torch.testing.assert_close(logits, their_logits, atol=LOGIT_TOLERANCE, rtol=0)
    ours, theirs = twins.ours.layers[1], twins.theirs.model.layers[1]
    for name in ("self_attn.kv_b_proj.weight", "input_layernorm.weight"):
        torch.testing.assert_close(
            ours.get_parameter(name).grad, theirs.get_parameter(name).grad, atol=1e-3, rtol=1e-3
        )
    if isinstance(ours.mlp, MoeBlock):
        torch.testing.assert_close(ours.mlp.gate.weight.grad, theirs.mlp.gate.weight.grad, atol=1e-3, rtol=1e-3)
        down = theirs.mlp.experts.down_proj.grad
        torch.testing.assert_close(ours.mlp.experts.down_EFD.grad, down.transpose(1, 2), atol=1e-3, rtol=1e-3)
    twins.ours.requires_grad_(requires_grad=False)
