"""Routing recorded by vLLM and SGLang, in every form they give, and files that lie about themselves."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.trace_import import ConfigNeeded, import_routing, open_trace
from tests.engine.routing_samples import random_ids, trace_of

CONFIG: dict[str, Any] = {"model_type": "sample", "num_hidden_layers": 3, "first_k_dense_replace": 1,
                          "n_routed_experts": 16, "num_experts_per_tok": 4}
IDS = random_ids(20, seed=4)
ALL_LAYERS = np.concatenate([np.zeros((20, 1, 4), np.int64), IDS], axis=1)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("data", [
    npy(IDS.astype(np.uint8)), npy(IDS.astype(np.int32)), npy(ALL_LAYERS.astype(np.uint16)),
    npy(np.asfortranarray(IDS.astype(np.int32))), IDS.astype("<i4").tobytes(), ALL_LAYERS.astype("<i4").tobytes(),
    base64.b64encode(ALL_LAYERS.astype("<i4").tobytes()),
    json.dumps({"choices": [{"routed_experts": base64.b64encode(npy(IDS.astype(np.uint8))).decode()}]}).encode(),
    json.dumps({"choices": [{"routed_experts": IDS.tolist()}]}).encode(),
    json.dumps({"meta_info": {"routed_experts": base64.b64encode(ALL_LAYERS.astype("<i4").tobytes()).decode()}}
               ).encode(),
    json.dumps({"choices": [], "sglext": {"routed_experts": base64.b64encode(IDS.astype("<i4").tobytes()).decode()}}
               ).encode(),
])
def test_every_form_gives_the_same_routing(data: bytes) -> None:
    imported = import_routing(data, CONFIG)
    assert imported.trace.layers == (1, 2)
    assert np.array_equal(imported.trace.ids, IDS)
    assert imported.trace.weights is None
    assert imported.trace.num_experts == 16


def test_an_answer_says_where_its_prompt_ends_and_its_token_numbers() -> None:
    choice = {"token_ids": list(range(10, 28)), "routed_experts": IDS.tolist()}
    answer = {"prompt_token_ids": [5, 6, 7], "choices": [choice]}
    trace = import_routing(json.dumps(answer).encode(), CONFIG).trace
    assert trace.rows_of("prefill").tolist() == [0, 1, 2]
    assert [token.id for token in trace.tokens[:5]] == [5, 6, 7, 10, 11]


def test_what_is_missing_is_told() -> None:
    ids = IDS.astype(np.int32)
    ids[:3] = -1
    imported = import_routing(npy(ids), CONFIG)
    assert len(imported.trace) == 17
    assert "3 tokens have no routing" in " ".join(imported.notes)
    assert "weights, margins and texts are not in it" in " ".join(imported.notes)


def test_files_are_told_apart(tmp_path: Path) -> None:
    trace_of(IDS, 16).save(tmp_path / "a.moetrace")
    (tmp_path / "a.npy").write_bytes(npy(IDS.astype(np.uint8)))
    assert np.array_equal(open_trace(tmp_path / "a.moetrace").trace.ids, IDS)
    assert open_trace(tmp_path / "a.npy", CONFIG).source == "vLLM (.npy)"
    with pytest.raises(ConfigNeeded, match=r"config\.json"):
        open_trace(tmp_path / "a.npy")


def lying_npy(shape: str, dtype: str = "<i4", body: bytes = b"") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + body


@pytest.mark.parametrize(("data", "message"), [
    (lying_npy("(1000000000, 60, 8)"), "cut off"),
    (lying_npy("(-1, 2, 4)", body=b"\0" * 32), "cut off"),
    (lying_npy("(1, 2, 4)", "|O", b"\0" * 64), "whole numbers"),
    (lying_npy("(1, 2, 4)", "<f8", b"\0" * 64), "whole numbers"),
    (lying_npy("(8,)", body=b"\0" * 32), "whole numbers"),
    (b"\x93NUMPY\x01", "cut off"),
    (npy(IDS.astype(np.uint8))[:-1], "cut off"),
    (npy(np.full((2, 2, 4), 99)), "names expert 99"),
    (npy(np.zeros((5, 7, 4), np.int32)), "holds 7 layers"),
    (npy(np.full((2, 2, 4), -1)), "no token with routing"),
    (b"\0" * 28, "do not divide"),
    (b"abc", "neither a .moetrace"),
    (b"", "neither a .moetrace"),
    (b"{}", "no routed_experts"),
    (b"{nonsense", "as JSON"),
    (b"[" * 100_000, "as JSON"),
    (json.dumps({"routed_experts": "!!"}).encode(), "not base64"),
    (json.dumps({"routed_experts": [[1], [2, 3]]}).encode(), "no table"),
])
def test_damaged_and_hostile_files_are_refused_in_words(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_routing(data, CONFIG)


@given(st.binary(max_size=300) | st.builds(lambda tail: b"\x93NUMPY" + tail, st.binary(max_size=200)))
def test_any_bytes_end_in_a_trace_or_a_clear_message(data: bytes) -> None:
    try:
        highest, message = int(import_routing(data, CONFIG).trace.ids.max()), "."
    except ValueError as error:
        highest, message = 0, str(error)
    assert highest < 16
    assert "." in message
