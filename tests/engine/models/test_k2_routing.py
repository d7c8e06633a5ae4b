"""What the routing values say: margins, shares and candidates, recomputed the long way; and the cache's limits."""

from dataclasses import replace

import pytest
import torch

from engine.config import ModelConfig
from engine.models.base import Capture, Routing
from engine.models.k2 import moe
from engine.models.k2.model import K2Model
from engine.models.k2.moe import MoeBlock
from engine.models.k2.runner import K2Runner
from tests.engine.models.k2_configs import BASE, CONFIGS, random_model, random_tokens

GROUPS = CONFIGS["groups"]
NUM_TOKENS = 30


def routing_of(model: K2Model, capture: Capture, *, by_decoding: bool) -> Routing:
    """Routing of a run over random tokens, in one pass or token by token."""
    runner, tokens = K2Runner(model), random_tokens(model.config, NUM_TOKENS)
    cache = runner.new_cache()
    if not by_decoding:
        routing = runner.prefill(tokens, cache, capture=capture).routing
        assert routing is not None
        return routing
    steps = [runner.prefill(tokens[:1], cache, capture=capture).routing]
    steps += [runner.decode([token], [cache], capture=capture).routing for token in tokens[1:]]
    fields = [name for name in Routing.__dataclass_fields__ if getattr(steps[0], name) is not None]
    return Routing(**{
        **dict.fromkeys(Routing.__dataclass_fields__),
        **{name: torch.cat([getattr(step, name) for step in steps]) for name in fields},
    })


class LayerInputs:
    """Records what each MoE block read and gave, by hooks on the plain pass."""

    def __init__(self, model: K2Model) -> None:
        self.inputs: list[torch.Tensor] = []
        self.outputs: list[tuple[torch.Tensor, torch.Tensor]] = []
        hooks = [block.register_forward_hook(self._record, with_kwargs=True) for block in model.moe_blocks]
        with torch.no_grad():
            model(torch.tensor(random_tokens(model.config, NUM_TOKENS)))
        for hook in hooks:
            hook.remove()

    def _record(self, _module: MoeBlock, args: tuple, _kwargs: dict, out: tuple) -> None:
        self.inputs.append(args[0])
        self.outputs.append(out[:2])


@pytest.mark.parametrize("by_decoding", [False, True], ids=["prefill", "decode"])
@pytest.mark.parametrize("config", [BASE, GROUPS], ids=["one group", "groups"])
def test_full_capture_tells_what_the_choice_went_by(config: ModelConfig, by_decoding: bool) -> None:
    model = random_model(config)
    seen = LayerInputs(model)
    routing = routing_of(model, "full", by_decoding=by_decoding)
    per_token = config.experts_per_token
    for index, block in enumerate(model.moe_blocks):
        raw = torch.sigmoid(seen.inputs[index] @ block.gate.weight.T)
        biased = raw + block.gate.e_score_correction_bias
        candidates = routing.candidates_NLC[:, index]
        assert candidates.shape == (NUM_TOKENS, 2 * per_token)
        torch.testing.assert_close(routing.raw_NLC[:, index], raw.gather(1, candidates), atol=1e-5, rtol=0)
        told = routing.biased_NLC[:, index]
        allowed = told.isfinite()
        torch.testing.assert_close(told[allowed], biased.gather(1, candidates)[allowed], atol=1e-5, rtol=0)
        assert bool((told[:, :-1] >= told[:, 1:]).all())
        assert torch.equal(candidates[:, :per_token], routing.ids_NLK[:, index])
        torch.testing.assert_close(
            routing.margin_NL[:, index], told[:, per_token - 1] - told[:, per_token], atol=1e-6, rtol=0
        )
        if config.num_groups == 1:
            assert torch.equal(candidates, biased.topk(2 * per_token).indices)
            assert bool(allowed.all())
        else:
            groups = candidates[:, :per_token] // (config.num_experts // config.num_groups)
            assert all(len(row.unique()) <= config.groups_per_token for row in groups)


@pytest.mark.parametrize("by_decoding", [False, True], ids=["prefill", "decode"])
def test_the_share_compares_the_outputs_of_shared_and_routed_experts(by_decoding: bool) -> None:
    model = random_model(BASE)
    seen = LayerInputs(model)
    routing = routing_of(model, "ids", by_decoding=by_decoding)
    for index, (routed, shared) in enumerate(seen.outputs):
        expected = shared.norm(dim=-1) / (shared.norm(dim=-1) + routed.norm(dim=-1))
        torch.testing.assert_close(routing.shared_NL[:, index], expected, atol=1e-5, rtol=0)
    assert 0 < routing.shared_NL.min() < routing.shared_NL.max() < 1


def test_each_level_captures_what_it_says() -> None:
    runner = K2Runner(random_model(BASE))
    tokens = random_tokens(BASE, 4)
    assert runner.prefill(tokens, runner.new_cache()).routing is None
    ids = runner.prefill(tokens, runner.new_cache(), capture="ids").routing
    assert ids is not None
    assert ids.ids_NLK.shape == ids.weights_NLK.shape == (4, 2, 3)
    assert ids.margin_NL is not None
    assert ids.candidates_NLC is ids.raw_NLC is ids.biased_NLC is None


@pytest.mark.parametrize("level", ["ids", "full"])
def test_capture_does_not_change_the_answer(level: Capture) -> None:
    model = random_model(BASE)
    runner, tokens = K2Runner(model), random_tokens(BASE, 12)
    plain, captured = runner.new_cache(), runner.new_cache()
    assert torch.equal(
        runner.prefill(tokens, plain).logits, runner.prefill(tokens, captured, capture=level).logits
    )
    assert torch.equal(
        runner.decode([5], [plain]).logits, runner.decode([5], [captured], capture=level).logits
    )


def test_a_model_that_uses_every_expert_has_no_rejected_one() -> None:
    routing = routing_of(random_model(CONFIGS["every expert"]), "full", by_decoding=True)
    assert bool(torch.isposinf(routing.margin_NL).all())
    assert routing.candidates_NLC.shape[-1] == 4


def test_models_without_shared_experts_or_without_moe_layers() -> None:
    without_shared = routing_of(random_model(replace(BASE, num_shared_experts=0)), "ids", by_decoding=True)
    assert without_shared.shared_NL is None
    runner = K2Runner(random_model(replace(BASE, num_dense_layers=3)))
    cache = runner.new_cache()
    assert runner.prefill([1, 2], cache, capture="ids").routing is None
    assert runner.decode([3], [cache], capture="full").routing is None


def test_the_context_is_a_limit_and_stays_usable() -> None:
    config = replace(BASE, max_position=20)
    runner = K2Runner(random_model(config))
    cache = runner.new_cache()
    with pytest.raises(ValueError, match=r"grow to 21 tokens.*holds 20.*Shorten"):
        runner.prefill([1] * 21, cache)
    runner.prefill([1] * 19, cache)
    runner.decode([2], [cache])
    with pytest.raises(ValueError, match="grow to 21 tokens"):
        runner.decode([3], [cache])
    assert cache.length == 20


@pytest.mark.parametrize("token", [-1, BASE.vocab_size])
def test_tokens_outside_the_vocabulary_are_refused(token: int) -> None:
    runner = K2Runner(random_model(BASE))
    with pytest.raises(ValueError, match=rf"Token {token} is outside"):
        runner.prefill([0, token, 3], runner.new_cache())


def test_branches_of_a_cache_do_not_disturb_each_other() -> None:
    runner = K2Runner(random_model(BASE))
    trunk = runner.new_cache()
    runner.prefill(random_tokens(BASE, 30), trunk)
    branch = trunk.copy()
    expected = runner.decode([7], [trunk.copy()]).logits
    for token in range(20):
        runner.decode([token], [branch])
    assert (branch.length, trunk.length) == (50, 30)
    assert torch.equal(runner.decode([7], [trunk]).logits, expected)
    with pytest.raises(ValueError, match="holds 31 tokens; it cannot be cut to 32"):
        trunk.truncate(32)


def test_shape_counts_the_parameters_there_are() -> None:
    for config in CONFIGS.values():
        model = random_model(config)
        counted = sum(tensor.numel() for tensor in model.state_dict().values())
        assert K2Runner(model).shape.num_parameters == counted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_grouped_product_of_graphics_cards_agrees_with_the_loop(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    counts = torch.tensor([3, 0, 7, 6])  # one expert got no token
    shapes = ((16, 32), (16, 1), (4, 32, 48), (4, 24, 32))
    x, weights, gate_up, down = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    grouped, looped = (run(x, weights, counts, gate_up, down) for run in (moe._grouped, moe._one_by_one))
    torch.testing.assert_close(grouped, looped, rtol=0.02, atol=1e-4 if dtype == torch.float32 else 2.0)
    rows = slice(3, 10)
    gate, up = (x[rows] @ gate_up[2]).chunk(2, dim=-1)
    expected = (torch.nn.functional.silu(gate) * up * weights[rows]) @ down[2]
    torch.testing.assert_close(looped[rows], expected, rtol=0.02, atol=1e-4 if dtype == torch.float32 else 2.0)
