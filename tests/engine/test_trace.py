"""Traces: growth, wire form, files, and damage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from engine.trace import RoutingBlock, RoutingTrace, TraceToken, concatenate, from_wire, slice_rows, to_wire


def make_block(tokens: int, *, layers: int = 2, top_k: int = 2, experts: int = 8, full: bool = False,
               seed: int = 0) -> RoutingBlock:
    rng = np.random.default_rng(seed)

    def f16(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float16)

    extra: dict[str, Any] = {}
    if full:
        width = min(2 * top_k, 5)  # a model with few experts has fewer than 2K candidates
        extra = {"candidates": rng.integers(0, experts, (tokens, layers, width)).astype(np.uint16),
                 "raw": f16(tokens, layers, width), "biased": f16(tokens, layers, width)}
    return RoutingBlock(layers=tuple(range(1, layers + 1)),
                        ids=rng.integers(0, experts, (tokens, layers, top_k)).astype(np.uint16),
                        weights=f16(tokens, layers, top_k), margin=f16(tokens, layers), shared=f16(tokens, layers),
                        **extra)


def make_tokens(count: int, phase: Any = "decode") -> list[TraceToken]:
    return [TraceToken(id=n, text=f"t{n}é", phase=phase, logprob=-0.5 * n, start=n, end=n + 1) for n in range(count)]


def same(left: RoutingTrace, right: RoutingTrace) -> bool:
    first, second = left.block().arrays(), right.block().arrays()
    return (left.tokens == right.tokens and left.layers == right.layers and first.keys() == second.keys()
            and all(np.array_equal(first[name], second[name]) for name in first)
            and (left.model, left.fingerprint, left.num_experts) == (right.model, right.fingerprint, right.num_experts))


@given(counts=st.lists(st.integers(0, 9), max_size=5), layers=st.integers(1, 3), top_k=st.integers(1, 4),
       full=st.booleans(), text=st.text(max_size=4))
def test_wire_and_file_round_trips(tmp_path_factory: pytest.TempPathFactory, counts: list[int], layers: int,
                                   top_k: int, full: bool, text: str) -> None:
    direct = RoutingTrace(num_experts=8, model={"name": text}, fingerprint="f")
    wired = RoutingTrace(num_experts=8, model={"name": text}, fingerprint="f")
    for seed, count in enumerate(counts):
        tokens = [TraceToken(id=seed, text=text, phase="prefill", start=None, end=None, message=seed)] * count
        block = make_block(count, layers=layers, top_k=top_k, full=full, seed=seed)
        direct.append(tokens, block)
        assert wired.append_wire(json.loads(json.dumps(to_wire("prefill", tokens, block)))) == count
    assert same(direct, wired)
    path = tmp_path_factory.mktemp("trace") / "a.moetrace"
    direct.save(path)
    loaded = RoutingTrace.load(path)
    assert same(direct, loaded) or not direct.tokens
    assert loaded.model == {"name": text}


def test_growth_is_amortised_and_a_loaded_trace_can_grow(tmp_path: Path) -> None:
    trace = RoutingTrace(num_experts=8)
    buffers = set()
    for n in range(500):
        trace.append(make_tokens(1), make_block(1, seed=n))
        buffers.add(trace.ids.__array_interface__["data"][0])
    assert len(trace) == 500
    assert trace.ids.shape == (500, 2, 2)
    assert len(buffers) <= 5
    assert np.array_equal(trace.ids[499], make_block(1, seed=499).ids[0])
    trace.save(tmp_path / "a.moetrace")
    loaded = RoutingTrace.load(tmp_path / "a.moetrace")
    loaded.append(make_tokens(1), make_block(1))
    assert len(loaded) == 501


def test_any_safetensors_reader_opens_a_trace_file(tmp_path: Path) -> None:
    trace = RoutingTrace(num_experts=8)
    trace.append(make_tokens(3), make_block(3))
    trace.save(tmp_path / "a.moetrace")
    tensors = load_file(tmp_path / "a.moetrace")
    assert np.array_equal(tensors["ids"], trace.ids)
    assert tensors["weights"].dtype == np.float16


def test_rows_of_a_phase_and_selections() -> None:
    trace = RoutingTrace(num_experts=8)
    trace.append(make_tokens(2, "prefill"), make_block(2, seed=1))
    trace.append(make_tokens(3), make_block(3, seed=2))
    assert trace.rows_of("decode").tolist() == [2, 3, 4]
    assert trace.passes().tolist() == [0, 1, 1, 2, 3]  # read, read, written by the pass before
    assert trace.passes([4, 0]).tolist() == [3, 0]
    assert trace.take([2, 3]).passes().tolist() == trace.snapshot().take([2, 3]).passes().tolist() == [0, 0]
    part = trace.take([4, 0])
    assert [token.phase for token in part.tokens] == ["decode", "prefill"]
    assert np.array_equal(part.ids[1], trace.ids[0])
    part.append(make_tokens(1), make_block(1))
    assert len(part) == 3
    assert len(trace) == 5


def test_blocks_join_and_split() -> None:
    whole = make_block(5)
    joined = concatenate([slice_rows(whole, 0, 2), slice_rows(whole, 2, 5)])
    assert all(np.array_equal(joined.arrays()[name], array) for name, array in whole.arrays().items())


def test_a_chunk_without_routing_adds_nothing() -> None:
    trace = RoutingTrace(num_experts=8)
    assert trace.append_wire(to_wire("decode", make_tokens(2), None)) == 0
    assert from_wire(to_wire("decode", make_tokens(2), None))[0] == make_tokens(2)


def test_another_model_or_expert_is_refused() -> None:
    trace = RoutingTrace(num_experts=8)
    trace.append(make_tokens(1), make_block(1))
    with pytest.raises(ValueError, match="model was changed"):
        trace.append(make_tokens(1), make_block(1, layers=3))
    with pytest.raises(ValueError, match="beyond the 4 experts"):
        RoutingTrace(num_experts=4).append(make_tokens(9), make_block(9))


@pytest.mark.parametrize("damage", [
    lambda wire: wire["routing"].update(ids="AAAA"),
    lambda wire: wire["routing"].update(ids="!!"),
    lambda wire: wire["routing"].pop("layers"),
    lambda wire: wire.pop("tokens"),
])
def test_a_damaged_chunk_says_so(damage: Any) -> None:
    wire = to_wire("decode", make_tokens(2), make_block(2))
    damage(wire)
    with pytest.raises(ValueError, match=r"damaged|can't be read"):
        from_wire(wire)


def test_damaged_files_say_so_and_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    trace = RoutingTrace(num_experts=8)
    trace.append(make_tokens(3), make_block(3))
    path = tmp_path / "a.moetrace"
    trace.save(path)
    data = path.read_bytes()
    for broken in (b"", data[:6], data[:100], data[:-1], b"\xff" * 64, data.replace(b"moetrace", b"someelse")):
        (tmp_path / "b.moetrace").write_bytes(broken)
        with pytest.raises(ValueError, match=r"cut off|no routing trace"):
            RoutingTrace.load(tmp_path / "b.moetrace")
    with pytest.raises(FileNotFoundError):
        trace.save(tmp_path / "missing" / "a.moetrace")
    assert path.read_bytes() == data
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["a.moetrace", "b.moetrace"]


def test_a_snapshot_stays_as_it_was_while_the_trace_grows() -> None:
    trace = RoutingTrace(num_experts=8)
    trace.append(make_tokens(3), make_block(3, seed=1))
    before, ids = trace.snapshot(), trace.ids.copy()
    for n in range(100):
        trace.append(make_tokens(1), make_block(1, seed=n))
    assert len(before) == 3
    assert np.array_equal(before.ids, ids)
    before.append(make_tokens(1), make_block(1, seed=7))
    assert len(trace) == 103
    assert not np.array_equal(before.ids[3], trace.ids[3])


def test_more_experts_than_any_model_has_are_refused() -> None:
    with pytest.raises(ValueError, match="more than any model"):
        RoutingTrace(num_experts=60_000).append(make_tokens(1), make_block(1, layers=40))
