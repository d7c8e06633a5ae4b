"""The decoders of `.moetrace` files and of stream chunks: any bytes give a trace that works, or a clear message."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.trace import RoutingBlock, RoutingTrace, TraceToken, from_wire, to_wire
from engine.trace_report import report

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2**40, 2**40) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)


def make_trace(count: int = 6) -> RoutingTrace:
    rng = np.random.default_rng(0)
    trace = RoutingTrace(num_experts=8, model={"id": "m"}, fingerprint="f")
    ids = np.argsort(rng.random((count, 2, 8)), axis=2)
    half = rng.random((count, 2, 2)).astype(np.float16)
    trace.append([TraceToken(id=n, text="ab", phase="decode", logprob=-0.5, start=2 * n, end=2 * n + 2)
                  for n in range(count)],
                 RoutingBlock(layers=(1, 2), ids=ids[..., :2].astype(np.uint16), weights=half, margin=half[..., 0],
                              shared=half[..., 1], candidates=ids[..., :4].astype(np.uint16)))
    return trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    make_trace().save(folder / "good.moetrace")
    return folder


def check(path: Path) -> None:
    """What can be opened can be looked at; what can't is refused in words."""
    try:
        trace, message = RoutingTrace.load(path), "."
    except ValueError as error:
        trace, message = make_trace(), str(error)
    assert message.endswith(".")
    if len(trace):
        report(trace, "all")


def parts_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8:8 + size]), data[8 + size:]


def write(path: Path, header: Any, body: bytes) -> None:
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + body)


@settings(max_examples=150)
@given(data=st.data())
def test_bytes_that_changed(folder: Path, data: st.DataObject) -> None:
    good = bytearray((folder / "good.moetrace").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "changed.moetrace"
    path.write_bytes(bytes(good[:data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else good))
    check(path)


@settings(max_examples=150)
@given(data=st.data())
def test_descriptions_that_lie(folder: Path, data: st.DataObject) -> None:
    header, body = parts_of((folder / "good.moetrace").read_bytes())
    entry = data.draw(st.sampled_from(sorted(header)))
    inner = data.draw(st.sampled_from(sorted(header[entry])))
    if entry == "__metadata__" and inner in ("tokens", "layers", "model") and data.draw(st.booleans()):
        values = json.loads(header[entry][inner])
        if inner == "tokens":
            values[0][data.draw(st.sampled_from(sorted(values[0])))] = data.draw(JSON)
        header[entry][inner] = json.dumps(values if inner == "tokens" else data.draw(JSON))
    else:
        header[entry][inner] = data.draw(JSON | st.lists(st.integers(-3, 30), min_size=2, max_size=3))
    path = folder / "lies.moetrace"
    write(path, header, body)
    check(path)


@pytest.mark.parametrize(("key", "value"), [
    ("tokens", "[" * 50_000), ("num_experts", "0"), ("num_experts", "9" * 30), ("layers", "[1, 1]"), ("model", "3"),
    ("layers", '["a", "b"]'), ("version", "99"), ("tokens", "{}"),
])
def test_lies_that_were_thought_of(folder: Path, key: str, value: str) -> None:
    header, body = parts_of((folder / "good.moetrace").read_bytes())
    header["__metadata__"][key] = value
    write(folder / "lie.moetrace", header, body)
    with pytest.raises(ValueError, match=r"damaged|another version"):
        RoutingTrace.load(folder / "lie.moetrace")


def test_values_that_are_no_numbers_and_half_characters(folder: Path) -> None:
    header, body = parts_of((folder / "good.moetrace").read_bytes())
    start, end = header["weights"]["data_offsets"]
    write(folder / "nan.moetrace", header, body[:start] + b"\xff" * (end - start) + body[end:])
    with pytest.raises(ValueError, match="no numbers"):
        RoutingTrace.load(folder / "nan.moetrace")
    header["__metadata__"]["tokens"] = header["__metadata__"]["tokens"].replace('"ab"', '"\\ud800b"', 1)
    write(folder / "half.moetrace", header, body)
    assert RoutingTrace.load(folder / "half.moetrace").tokens[0].text == "?b"


@settings(max_examples=150)
@given(data=st.data())
def test_chunks_that_changed(data: st.DataObject) -> None:
    trace = make_trace()
    wire = copy.deepcopy(to_wire("decode", trace.tokens, trace.block()))
    where = data.draw(st.sampled_from(["top", "token", "routing"]))
    target = {"top": wire, "token": wire["tokens"][0], "routing": wire["routing"]}[where]
    key = data.draw(st.sampled_from(sorted(target)))
    target[key] = data.draw(JSON | st.binary(max_size=100).map(lambda raw: base64.b64encode(raw).decode()))
    try:
        (tokens, block), message = from_wire(wire), "."
    except ValueError as error:
        (tokens, block), message = ([], None), str(error)
    assert block is None or len(block) == len(tokens)
    assert "." in message
