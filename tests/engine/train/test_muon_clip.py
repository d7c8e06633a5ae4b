"""MuonClip: equal to torch's Muon on matrices, update size by the rule, and the clip touching only what it must."""

import math

import pytest
import torch
from torch import Tensor

from engine.train.kernels import Segment
from engine.train.muon_clip import MuonClip, Rates, balance, clip_heads
from engine.train.network import Batch, Network, Shape, Weight, initial_masters, weight_table

SHAPE = Shape(
    vocab=64, hidden=32, layers=2, dense_layers=1, intermediate=48, expert_width=16, experts=4, chosen=2, shared=1,
    heads=2, q_lora=24, kv_lora=16, nope=8, rope=4, value=8, scaling=1.5, rope_theta=1e4, max_position=64, eps=1e-6)


def matrix(name: str, shape: tuple[int, ...], *rows: int) -> Weight:
    return Weight(name=name, shape=shape, parts=tuple((f"{name}{i}", n) for i, n in enumerate(rows)), matrix=True,
                  init_std=1.0)


def batch(length: int = 40) -> Batch:
    tokens = torch.randint(0, SHAPE.vocab, (length + 1,), generator=torch.Generator().manual_seed(5))
    return Batch(tokens_T=tokens[:-1], targets_T=tokens[1:], positions_T=torch.arange(length),
                 weights_T=torch.ones(length), segments=[Segment(0, length, None)])


def steep_masters() -> dict[str, Tensor]:
    """Weights whose logits in layer 0, head 1 are far above the others."""
    masters = initial_masters(SHAPE, 3)
    masters["layers.0.q_b"].view(2, 12, -1)[1] *= 30
    return masters


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (32, 32)])
def test_a_step_equals_torch_muon(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    start, ours = torch.randn(size), {"w": torch.empty(size)}
    ours["w"].copy_(start)
    theirs = torch.nn.Parameter(start.clone())
    reference = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    optimizer = MuonClip([matrix("w", size, size[0])], ours, Rates())
    for _ in range(3):
        gradient = torch.randn(size)
        theirs.grad = gradient.clone()
        reference.step()
        optimizer.step({"w": gradient}, 0.02)
    moved = (theirs.detach() - start).norm()
    assert (ours["w"] - theirs.detach()).norm() < 0.01 * moved


def test_stacked_and_joint_matrices_are_stepped_one_by_one() -> None:
    torch.manual_seed(0)
    stack, gradient = torch.randn(3, 20, 16), torch.randn(3, 20, 16)
    masters = {"w": stack.clone()}
    MuonClip([matrix("w", (3, 20, 16), 12, 8)], masters, Rates()).step({"w": gradient}, 0.1)
    for expert in range(3):
        for rows in (slice(0, 12), slice(12, 20)):
            alone = {"w": stack[expert, rows].clone()}
            count = rows.stop - rows.start
            MuonClip([matrix("w", (count, 16), count)], alone, Rates()).step({"w": gradient[expert, rows]}, 0.1)
            torch.testing.assert_close(masters["w"][expert, rows], alone["w"], atol=2e-3, rtol=0)


def test_the_updates_rms_is_what_the_rule_says() -> None:
    torch.manual_seed(0)
    masters = {"w": torch.zeros(128, 256)}
    MuonClip([matrix("w", (128, 256), 128)], masters, Rates(decay=0.0)).step({"w": torch.randn(128, 256)}, 1.0)
    # Newton-Schulz leaves singular values around one (0.7 to 1.2), so the RMS is 0.2 within that.
    assert 0.2 * 0.7 < masters["w"].square().mean().sqrt() < 0.2 * 1.2


def test_the_clip_brings_a_steep_head_to_tau_and_touches_nothing_else() -> None:
    masters = steep_masters()
    before = {name: master.clone() for name, master in masters.items()}
    network = Network(SHAPE, masters, torch.zeros(2, 4), torch.float32)
    with torch.no_grad():
        network.loss(batch())
    first = network.top_logits_LH.clone()
    tau = float(first[0, 1]) / 3
    assert (first > tau).nonzero().tolist() == [[0, 1]]
    assert clip_heads(masters, SHAPE, first, tau) == 1
    again = Network(SHAPE, masters, torch.zeros(2, 4), torch.float32)
    with torch.no_grad():
        again.loss(batch())
    assert math.isclose(float(again.top_logits_LH[0, 1]), tau, rel_tol=1e-4)
    changed = [name for name in masters if not torch.equal(masters[name], before[name])]
    assert sorted(changed) == ["layers.0.kv_b", "layers.0.q_b"]
    q, kv = masters["layers.0.q_b"].view(2, 12, -1), masters["layers.0.kv_b"].view(2, 16, -1)
    q_before, kv_before = before["layers.0.q_b"].view(2, 12, -1), before["layers.0.kv_b"].view(2, 16, -1)
    assert torch.equal(q[0], q_before[0])
    assert torch.equal(kv[0], kv_before[0])
    assert torch.equal(kv[1, 8:], kv_before[1, 8:])  # values
    g = 1 / 3
    torch.testing.assert_close(q[1, 8:], q_before[1, 8:] * g)
    torch.testing.assert_close(kv[1, :8], kv_before[1, :8] * g**0.5)


def test_heads_below_tau_are_bit_identical() -> None:
    masters = steep_masters()
    before = {name: master.clone() for name, master in masters.items()}
    assert clip_heads(masters, SHAPE, torch.full((2, 2), 29.9), 30.0) == 0
    assert all(torch.equal(masters[name], before[name]) for name in masters)


def test_balancing_raises_idle_experts_and_lowers_busy_ones() -> None:
    biases = torch.zeros(1, 4)
    balance(biases, torch.tensor([[10.0, 0.0, 5.0, 5.0]]), 0.1)
    torch.testing.assert_close(biases, torch.tensor([[-0.1, 0.1, 0.0, 0.0]]))


def test_norms_are_not_decayed_and_embeddings_are() -> None:
    table = [weight for weight in weight_table(SHAPE) if weight.name in {"norm", "embed"}]
    masters = {"norm": torch.ones(32), "embed": torch.ones(64, 32)}
    MuonClip(table, masters, Rates(decay=0.5)).step({"norm": torch.zeros(32), "embed": torch.zeros(64, 32)}, 0.1)
    assert torch.equal(masters["norm"], torch.ones(32))
    torch.testing.assert_close(masters["embed"], torch.full((64, 32), 0.95))


def test_what_is_no_matrix_is_stepped_as_torchs_adamw() -> None:
    torch.manual_seed(0)
    start = torch.randn(20, 12)
    ours, theirs = {"w": start.clone()}, torch.nn.Parameter(start.clone())
    weight = Weight(name="w", shape=(20, 12), parts=(("w", 20),), matrix=False, init_std=1.0)
    optimizer = MuonClip([weight], ours, Rates())
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for _ in range(5):
        gradient = torch.randn(20, 12)
        theirs.grad = gradient.clone()
        reference.step()
        optimizer.step({"w": gradient}, 0.01)
    torch.testing.assert_close(ours["w"], theirs.detach())


def test_heads_of_all_layers_are_clipped_in_one_go_and_one_at_tau_is_not() -> None:
    masters = initial_masters(SHAPE, 3)
    before = {name: master.clone() for name, master in masters.items()}
    assert clip_heads(masters, SHAPE, torch.tensor([[60.0, 30.0], [20.0, 120.0]]), 30.0) == 2
    for layer, head, g in ((0, 0, 0.5), (1, 1, 0.25)):
        q, was = (tensors[f"layers.{layer}.q_b"].view(2, 12, -1) for tensors in (masters, before))
        torch.testing.assert_close(q[head, :8], was[head, :8] * g**0.5)
        torch.testing.assert_close(q[head, 8:], was[head, 8:] * g)
        assert torch.equal(q[1 - head], was[1 - head])
        assert torch.equal(masters[f"layers.{layer}.a"], before[f"layers.{layer}.a"])  # the shared rotary key's
