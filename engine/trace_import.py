"""Opening routing that others recorded: vLLM's .npy, SGLang's raw int32, and the API answers that carry either.

vLLM gives the bytes of a .npy file, [tokens-1, layers, K] of prompt and answer together; SGLang gives little-endian
int32 without a header, so its shape comes from the model's config.json. Both say *which* experts, nothing more:
weights, scores and margins stay absent. Everything read is untrusted. Standard library and numpy only.
"""

import base64
import binascii
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.moe_config import MoeShape, moe_shape
from engine.trace import RoutingBlock, RoutingTrace, TraceToken

MOST_BYTES = 8 * 1024**3
_NPY_MAGIC = b"\x93NUMPY"
_KINDS_OF_NUMBERS = "iu"


class ConfigNeeded(ValueError):  # noqa: N818 - it asks for something
    """The file does not describe its model: give the object of the model's config.json too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A trace with where it came from; `notes` say what was left out or assumed."""

    trace: RoutingTrace
    source: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    """Routing as it stands in a file: `ids` is [N,L,K], or flat where the file has no shape."""

    ids: npt.NDArray[Any]
    source: str
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int | None = None


def open_trace(path: Path, config: Mapping[str, Any] | None = None) -> Imported:
    """Open a .moetrace file, a .npy file of vLLM, raw int32 of SGLang, or a saved API answer (JSON) of either.

    Raises:
        ConfigNeeded: it is not a .moetrace file and `config`, the object of the model's config.json, is None.
        OSError: the file can't be read.
        ValueError: it is none of these, damaged, or of another model than `config` says.
    """
    with path.open("rb") as file:
        start = file.read(16)
    if path.suffix == ".moetrace" or (start[8:9] == b"{" and not start.startswith(_NPY_MAGIC)):
        return Imported(trace=RoutingTrace.load(path), source="a .moetrace file", notes=())
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES // 1024**3} GiB. Record a shorter conversation.")
    if config is None:
        raise ConfigNeeded(f"{path.name} holds expert numbers, but not of which model. Choose the model's config.json.")
    return import_routing(path.read_bytes(), config, name=path.name)


def import_routing(data: bytes, config: Mapping[str, Any], *, name: str = "The file") -> Imported:
    """Read vLLM's or SGLang's routing; `config` is the object of the model's config.json.

    Raises:
        ValueError: the data are damaged, or of another model.
    """
    shape = moe_shape(config)
    recording = _recording(data, name)
    ids_NLK, notes = _to_layers(recording.ids, shape, name)
    kept = (ids_NLK >= 0).all(axis=(1, 2))
    if not kept.all():
        notes.append(f"{int((~kept).sum()):,} tokens have no routing (they came from the server's prefix cache) and "
                     "were left out.")
    if not kept.any():
        raise ValueError(f"{name} holds no token with routing. Ask the server again, with its routed experts on.")
    if int(ids_NLK.max()) >= shape.num_experts:
        raise ValueError(f"{name} names expert {int(ids_NLK.max())}, but the model of this config.json has "
                         f"{shape.num_experts}. Choose the config.json of the model that was recorded.")
    prompt = recording.prompt_tokens
    if prompt is None:
        notes.append("The file does not say where the prompt ends: all its tokens count as the answer.")
    notes.append("It says which experts were chosen; weights, margins and texts are not in it.")
    trace = RoutingTrace(num_experts=shape.num_experts, model={"id": shape.name, "config": dict(config)})
    tokens = [TraceToken(id=recording.token_ids[row] if row < len(recording.token_ids) else -1, text="",
                         phase="prefill" if prompt is not None and row < prompt else "decode")
              for row in np.flatnonzero(kept).tolist()]
    trace.append(tokens, RoutingBlock(layers=shape.moe_layers, ids=ids_NLK[kept].astype(np.uint16)))
    return Imported(trace=trace, source=recording.source, notes=tuple(notes))


def _recording(data: bytes, name: str) -> _Recording:
    if data.startswith(_NPY_MAGIC):
        return _Recording(ids=_read_npy(data, name), source="vLLM (.npy)")
    stripped = data[:64].lstrip()
    if stripped[:1] in (b"{", b"["):
        return _from_answer(data, name)
    decoded = _from_base64(data)
    if decoded is not None:
        return _recording(decoded, name)
    return _Recording(ids=_read_int32(data, name), source="SGLang (int32)")


def _read_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    """Read an array without numpy's own loader: that one would believe the shape before looking at the size."""
    damaged = f"{name} is cut off or no .npy file of expert numbers. Save it again."
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read(file, max_header_size=4096)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError(damaged) from error
    if dtype.kind not in _KINDS_OF_NUMBERS or dtype.hasobject or len(shape) != 3:
        raise ValueError(f"{name} holds {dtype} of shape {shape}; vLLM's routing is whole numbers of tokens x layers x "
                         "experts per token. Choose another file.")
    count = 1
    for size in shape:
        count *= size
    body = data[file.tell():]
    if not count or count * dtype.itemsize != len(body):
        raise ValueError(damaged)
    return np.frombuffer(body, dtype).reshape(shape, order="F" if in_columns else "C")


def _read_int32(data: bytes, name: str) -> npt.NDArray[Any]:
    if not data or len(data) % 4:
        raise ValueError(f"{name} is neither a .moetrace file, vLLM's .npy, SGLang's int32 nor an answer in JSON. "
                         "Choose another file.")
    return np.frombuffer(data, "<i4")


def _from_base64(data: bytes) -> bytes | None:
    try:
        return base64.b64decode(data.strip(), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _from_answer(data: bytes, name: str) -> _Recording:
    """Find the routing in an answer of either API, wherever its version puts it."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} can't be read as JSON ({error}). Save the server's answer again.") from error
    found = next((value for value in _values_of(answer, "routed_experts") if value), None)
    if isinstance(found, str):
        decoded = _from_base64(found.encode())
        if decoded is None:
            raise ValueError(f"The routed_experts of {name} are not base64. Save the server's answer again.")
        recording = _recording(decoded, name) if decoded.startswith(_NPY_MAGIC) else _Recording(
            ids=_read_int32(decoded, name), source="SGLang (int32)")
    elif isinstance(found, list):
        recording = _Recording(ids=_from_lists(found, name), source="vLLM (lists)")
    else:
        raise ValueError(f"{name} holds no routed_experts. Start vLLM with --enable-return-routed-experts, or SGLang "
                         "with the same and return_routed_experts in the request.")
    prompt = next((value for value in _values_of(answer, "prompt_token_ids") if isinstance(value, list)), None)
    made = next((value for value in _values_of(answer, "token_ids") if isinstance(value, list)), [])
    counted = next((value for value in _values_of(answer, "prompt_tokens") if isinstance(value, int)), None)
    ids = tuple(item if isinstance(item, int) and 0 <= item < 2**31 else -1 for item in [*(prompt or []), *made])
    return _Recording(ids=recording.ids, source=recording.source, token_ids=ids if prompt is not None else (),
                      prompt_tokens=len(prompt) if prompt is not None else counted)


def _from_lists(rows: list[Any], name: str) -> npt.NDArray[Any]:
    try:
        ids = np.array(rows)
    except ValueError:
        ids = np.zeros(0)
    if ids.ndim != 3 or ids.dtype.kind not in _KINDS_OF_NUMBERS:
        raise ValueError(f"The routed_experts of {name} are no table of tokens x layers x experts. Save the answer "
                         "again.")
    return ids


def _values_of(value: Any, key: str) -> Iterator[Any]:
    """Everything under a key, at any depth; lists of numbers are not entered."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from _values_of(inner, key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from _values_of(inner, key)


def _to_layers(ids: npt.NDArray[Any], shape: MoeShape, name: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Bring the layer axis to the MoE layers: engines count dense layers or not, depending on their version."""
    widths = dict.fromkeys((shape.num_layers, len(shape.moe_layers)))
    if ids.ndim == 1:
        fitting = [width for width in widths if ids.size % (width * shape.top_k) == 0]
        if not fitting:
            raise ValueError(f"{name} has {ids.size:,} numbers, which the {shape.num_layers} layers with {shape.top_k} "
                             "experts per token of this config.json do not divide. Choose the recorded model's.")
        tables = [ids.reshape(-1, width, shape.top_k) for width in fitting]
        ids = next((table for table in tables if _dense_are_empty(table, shape)), tables[-1])
    if ids.shape[1] not in widths or not 1 <= ids.shape[2] <= shape.num_experts:
        raise ValueError(f"{name} holds {ids.shape[1]} layers of {ids.shape[2]} experts per token, but the model of "
                         f"this config.json has {shape.num_layers} layers, {len(shape.moe_layers)} of them with "
                         f"experts, and {shape.top_k} per token. Choose the recorded model's config.json.")
    notes = []
    if ids.shape[2] != shape.top_k:
        notes.append(f"It holds {ids.shape[2]} experts per token where config.json says {shape.top_k}.")
    if ids.shape[1] != len(shape.moe_layers):
        dense = shape.num_layers - len(shape.moe_layers)
        notes.append(f"{dense} layers without experts were left out.")
        ids = ids[:, list(shape.moe_layers)]
    return ids.astype(np.int64), notes


def _dense_are_empty(ids_NLK: npt.NDArray[Any], shape: MoeShape) -> bool:
    if ids_NLK.shape[1] != shape.num_layers:
        return False
    dense = [layer for layer in range(shape.num_layers) if layer not in shape.moe_layers]
    columns = ids_NLK[:, dense]
    return bool((columns == columns[:, :, :1]).all())
