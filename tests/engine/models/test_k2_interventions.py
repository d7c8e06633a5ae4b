"""What interventions do to a K2 model's routing, against the choice made anew from the recorded scores."""

import pytest
import torch

from engine.interventions import Intervention
from engine.models.base import Routing
from engine.models.k2.runner import K2Runner
from engine.trace import UNUSED_EXPERT
from tests.engine.models.k2_configs import BASE, CONFIGS, random_model, random_tokens

GROUPS = CONFIGS["groups"]
NUM_TOKENS = 9
ALL_LAYERS = {"first": 0, "last": 99}


def forward(config, interventions: tuple[Intervention, ...], *, by_decoding: bool) -> Routing:
    runner = K2Runner(random_model(config))
    tokens, cache = random_tokens(config, NUM_TOKENS), None
    cache = runner.new_cache()
    if not by_decoding:
        routing = runner.prefill(tokens, cache, capture="full", interventions=interventions).routing
        assert routing is not None
        return routing
    steps = [
        runner.decode([token], [cache], capture="full", interventions=[interventions]).routing for token in tokens
    ]
    names = [name for name in Routing.__dataclass_fields__ if getattr(steps[0], name) is not None]
    return Routing(**{
        **dict.fromkeys(Routing.__dataclass_fields__),
        **{name: torch.cat([getattr(step, name) for step in steps]) for name in names},
    })


@pytest.fixture(params=[False, True], ids=["prefill", "decode"])
def by_decoding(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=[BASE, GROUPS], ids=["one group", "groups"])
def config(request: pytest.FixtureRequest):
    return request.param


def test_muted_experts_are_never_chosen_and_the_others_share_the_weight(config, by_decoding: bool) -> None:
    plain = forward(config, (), by_decoding=by_decoding)
    muted = int(plain.ids_NLK[0, 0, 0])
    changed = forward(config, (Intervention(**ALL_LAYERS, action="mute", experts=(muted,)),), by_decoding=by_decoding)
    assert not (changed.ids_NLK == muted).any()
    assert changed.ids_NLK.shape == plain.ids_NLK.shape
    # in the first layer the input is the same, so where the expert was not chosen nothing changes
    same = ~(plain.ids_NLK[:, 0] == muted).any(-1)
    if config is BASE:
        assert torch.equal(changed.ids_NLK[same, 0], plain.ids_NLK[same, 0])
    if config.norm_topk_prob:
        sums = changed.weights_NLK.sum(-1)
        torch.testing.assert_close(sums, torch.full_like(sums, config.routed_scaling_factor))


def test_a_forced_expert_takes_the_last_place_with_its_own_score(config, by_decoding: bool) -> None:
    plain = forward(config, (), by_decoding=by_decoding)
    absent = next(expert for expert in range(config.num_experts) if not (plain.ids_NLK[0, 0] == expert).any())
    force = (Intervention(**ALL_LAYERS, action="force", experts=(absent,)),)
    changed = forward(config, force, by_decoding=by_decoding)
    assert (changed.ids_NLK == absent).any(-1).all()
    missed = ~(plain.ids_NLK[:, 0] == absent).any(-1)
    expected = torch.cat((plain.ids_NLK[missed, 0, :-1], torch.full((int(missed.sum()), 1), absent)), dim=1)
    assert torch.equal(changed.ids_NLK[missed, 0].sort().values, expected.sort().values)
    assert changed.margin_NL is not None
    if config is BASE:  # with groups it may be of one that lost, and score better than what it pushes out
        assert torch.equal(changed.ids_NLK[missed, 0], expected)
        assert (changed.margin_NL[missed, 0] <= 0).all()


def test_a_boost_is_added_to_the_score_the_choice_goes_by(by_decoding: bool) -> None:
    plain = forward(BASE, (), by_decoding=by_decoding)
    expert = 1
    boost = (Intervention(**ALL_LAYERS, action="boost", experts=(expert,), value=10.0),)
    changed = forward(BASE, boost, by_decoding=by_decoding)
    assert (changed.ids_NLK[..., 0] == expert).all()  # the best by far
    assert changed.raw_NLC is not None
    assert changed.biased_NLC is not None
    assert (changed.raw_NLC <= 1).all()
    assert (changed.biased_NLC[..., 0] > 9).all()
    weak = (Intervention(**ALL_LAYERS, action="boost", experts=(expert,), value=-10.0),)
    assert not (forward(BASE, weak, by_decoding=by_decoding).ids_NLK == expert).any()
    assert torch.equal(forward(BASE, (Intervention(**ALL_LAYERS, action="boost", experts=(expert,), value=0.0),),
                               by_decoding=by_decoding).ids_NLK, plain.ids_NLK)


@pytest.mark.parametrize("places", [1, 5])
def test_top_k_gives_that_many_experts_in_the_layers_named(places: int, by_decoding: bool) -> None:
    plain = forward(BASE, (), by_decoding=by_decoding)
    layer = BASE.moe_layers[0]
    changed = forward(BASE, (Intervention(first=layer, last=layer, action="top_k", value=places),),
                      by_decoding=by_decoding)
    usual = BASE.experts_per_token
    used = changed.ids_NLK != UNUSED_EXPERT
    assert (used[:, 0].sum(-1) == places).all()
    assert (used[:, 1:].sum(-1) == usual).all()
    assert changed.ids_NLK.shape[-1] == max(usual, places)
    common = min(places, usual)
    assert torch.equal(changed.ids_NLK[:, 0, :common], plain.ids_NLK[:, 0, :common])
    assert (changed.weights_NLK[~used] == 0).all()


def test_rows_of_a_batch_are_changed_each_for_itself() -> None:
    runner = K2Runner(random_model(BASE))
    tokens = random_tokens(BASE, NUM_TOKENS)
    fired = runner.prefill([7], runner.new_cache(), capture="ids").routing
    assert fired is not None
    changes = ((), (Intervention(**ALL_LAYERS, action="mute", experts=tuple(fired.ids_NLK[0, 0, :2].tolist())),),
               (Intervention(**ALL_LAYERS, action="top_k", value=1),))
    alone, caches = [], []
    for row in changes:
        cache = runner.new_cache()
        runner.prefill([7, *tokens], cache, interventions=row)
        caches.append(cache.copy())
        alone.append(runner.decode([7], [cache], capture="ids", interventions=[row]))
    together = runner.decode([7] * 3, caches, capture="ids", interventions=changes)
    for index, one in enumerate(alone):
        torch.testing.assert_close(together.logits[index], one.logits[0], atol=1e-4, rtol=1e-4)
        assert together.routing is not None
        assert one.routing is not None
        assert torch.equal(together.routing.ids_NLK[index], one.routing.ids_NLK[0])
    assert not torch.allclose(alone[0].logits, alone[1].logits)
    assert not torch.allclose(alone[0].logits, alone[2].logits)


def test_without_interventions_nothing_changes() -> None:
    runner = K2Runner(random_model(BASE))
    tokens = random_tokens(BASE, NUM_TOKENS)
    plain = runner.prefill(tokens, runner.new_cache(), capture="ids")
    empty = runner.prefill(tokens, runner.new_cache(), capture="ids",
                           interventions=(Intervention(first=0, last=0, action="mute", experts=(0,)),))
    torch.testing.assert_close(plain.logits, empty.logits)


def test_steps_that_differ_are_joined_to_what_each_says_alone() -> None:
    runner = K2Runner(random_model(BASE))
    caches = [runner.new_cache() for _ in range(2)]
    wider = Intervention(**ALL_LAYERS, experts=(), action="top_k", value=BASE.experts_per_token + 1)
    muted = Intervention(**ALL_LAYERS, experts=(0, 3), action="mute")
    steps = [
        runner.decode([3, 5], caches, capture="full"),
        runner.decode([4, 6], caches, capture="ids", interventions=[(wider,), (muted,)]),
        runner.decode([7], caches[:1], capture="ids"),
        runner.decode([8] * 17, [runner.new_cache() for _ in range(17)], capture="full"),
    ]
    first, *later = (step.recorded for step in steps)
    assert first is not None
    assert [len(each) for each in (first, *later)] == [2, 2, 1, 17]
    joined, alone = first.routing(later), [step.routing for step in steps]
    assert joined.candidates_NLC is None  # not all steps have them
    width = joined.ids_NLK.shape[2]
    assert width == BASE.experts_per_token + 1
    for name, filler in (("ids_NLK", UNUSED_EXPERT), ("weights_NLK", 0.0)):
        padded = [torch.nn.functional.pad(value, (0, width - value.shape[2]), value=filler)
                  for value in (getattr(each, name) for each in alone)]
        assert torch.equal(getattr(joined, name), torch.cat(padded))
    assert torch.equal(joined.margin_NL, torch.cat([each.margin_NL for each in alone]))
    assert torch.equal(joined.shared_NL, torch.cat([each.shared_NL for each in alone]))
