"""RoutingTrace: which experts ran for which token, as values; its wire form and its file format.

Row n of every array is the routing of the forward pass *over* token n, the pass that read it. An answer's token was
written by the pass before, over the token in front of it: `RoutingTrace.passes` gives that one. A `.moetrace` file is a
safetensors container (u16 and f16 tensors, JSON metadata): it opens without the model, here or with any safetensors
reader. Statistics over a trace are in routing_stats.py. Standard library and numpy only.

Legend: N tokens, L MoE layers, E experts per layer, K experts per token, C = 2K candidates.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from engine.trace_file import read_container, write_container

Phase = Literal["prefill", "decode"]
U16 = npt.NDArray[np.uint16]
F16 = npt.NDArray[np.float16]

FORMAT_VERSION = "1"
UNUSED_EXPERT = 0xFFFF  # stands in `ids` where a token got fewer experts than the trace is wide (an intervention)
MOST_CELLS = 1 << 20  # layers times experts; Kimi K2 has 23,040. Keeps a file from claiming all memory
_SHARES: tuple[str, ...] = ("ids", "weights", "margin", "shared", "candidates", "raw", "biased")
_DTYPES: dict[str, Any] = {name: np.uint16 if name in ("ids", "candidates") else np.float16 for name in _SHARES}
_PER_LAYER = ("margin", "shared")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceToken:
    """One token. `start`/`end` count code points of its message's text, None for template tokens.

    `message` is the index of that message among the request's, None for the answer. `logprob` is natural
    and None for prompt tokens.
    """

    id: int
    text: str
    phase: Phase
    logprob: float | None = None
    start: int | None = None
    end: int | None = None
    message: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingBlock:
    """Routing of consecutive tokens: ids [N,L,K], weights [N,L,K], margin and shared [N,L], the rest [N,L,C].

    `margin` is the biased score of the last chosen expert minus the first rejected one; `shared` the share
    of the layer's output norm that the shared experts gave. The last three come in "full" mode only.
    """

    layers: tuple[int, ...]
    ids: U16
    weights: F16 | None = None
    margin: F16 | None = None
    shared: F16 | None = None
    candidates: U16 | None = None
    raw: F16 | None = None
    biased: F16 | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Give the arrays that are there, by name."""
        return {name: array for name in _SHARES if (array := getattr(self, name)) is not None}


def concatenate(blocks: Sequence[RoutingBlock]) -> RoutingBlock:
    """Join blocks of the same layers along the tokens; arrays that one of them lacks are left out."""
    assert blocks
    if len(blocks) == 1:
        return blocks[0]
    parts = [block.arrays() for block in blocks]
    names = set(parts[0]).intersection(*parts[1:])
    joined: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return RoutingBlock(layers=blocks[0].layers, **joined)


def slice_rows(block: RoutingBlock, start: int, end: int) -> RoutingBlock:
    """Give the rows `start` to `end` of a block, as views."""
    rows: dict[str, Any] = {name: array[start:end] for name, array in block.arrays().items()}
    return RoutingBlock(layers=block.layers, **rows)


def to_wire(phase: Phase, tokens: Sequence[TraceToken], block: RoutingBlock | None) -> dict[str, Any]:
    """Encode tokens and their routing as the "expertarium" part of a stream chunk."""
    assert block is None or len(block) == len(tokens)
    wire: dict[str, Any] = {"phase": phase, "tokens": [_token_wire(token) for token in tokens]}
    if block is not None:
        arrays = {name: base64.b64encode(array.tobytes()).decode() for name, array in block.arrays().items()}
        wire["routing"] = {"layers": list(block.layers), "top_k": block.ids.shape[2], **arrays}
        if block.candidates is not None:
            wire["routing"]["candidates_width"] = block.candidates.shape[2]
    return wire


def _token_wire(token: TraceToken) -> dict[str, Any]:
    wire: dict[str, Any] = {"id": token.id, "text": token.text, "logprob": token.logprob, "start": token.start,
                            "end": token.end}
    if token.message is not None:
        wire["message"] = token.message
    return wire


def from_wire(chunk: Mapping[str, Any]) -> tuple[list[TraceToken], RoutingBlock | None]:
    """Decode the "expertarium" part of a stream chunk.

    Raises:
        ValueError: a field is missing or an array has another size than its tokens need.
    """
    try:
        tokens = [_read_token(wire, chunk["phase"]) for wire in chunk["tokens"]]
        routing = chunk.get("routing")
        return tokens, _block_from_wire(routing, len(tokens)) if routing else None
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"The routing part of a stream chunk can't be read ({error!r}). The server may speak "
                         "another version; update both to the same release.") from error


def _block_from_wire(routing: Mapping[str, Any], num_tokens: int) -> RoutingBlock:
    layers = _read_layers(routing["layers"])
    arrays: dict[str, Any] = {}
    for name in _SHARES:
        if routing.get(name) is None:
            continue
        flat = np.frombuffer(base64.b64decode(routing[name], validate=True), dtype=_DTYPES[name])
        width = _width(name, routing, flat.size // max(num_tokens * len(layers), 1))
        shape = (num_tokens, len(layers)) if name in _PER_LAYER else (num_tokens, len(layers), width)
        if flat.size != int(np.prod(shape)):
            raise ValueError(f"The routing array {name!r} has {flat.size} values where {shape} needs "
                             f"{int(np.prod(shape))}. The server's answer is damaged; ask again.")
        arrays[name] = flat.reshape(shape)
    return RoutingBlock(layers=layers, **arrays)


def _width(name: str, routing: Mapping[str, Any], by_size: int) -> int:
    """Values per token and layer: K, or C for the candidates (2K, less where a model has fewer experts)."""
    key = "top_k" if name in ("ids", "weights") else "candidates_width"
    return int(routing.get(key) or by_size)


class RoutingTrace:
    """A growing record of tokens and their routing.

    Appending is amortised O(1) per token; arrays are read as views of the filled part. Attributes: `tokens`,
    `layers` (absolute layer numbers), `num_experts`, `model` (card as the API gives it), `fingerprint`.
    """

    def __init__(self, *, num_experts: int, model: Mapping[str, Any] | None = None, fingerprint: str = "") -> None:
        self.tokens: list[TraceToken] = []
        self.layers: tuple[int, ...] = ()
        self.num_experts = num_experts
        self.model: dict[str, Any] = dict(model or {})
        self.fingerprint = fingerprint
        self._arrays: dict[str, npt.NDArray[Any]] = {}
        self._is_decode = np.zeros(0, np.bool_)
        self._capacity = 0

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def top_k(self) -> int:
        """Experts chosen per token; 0 while the trace is empty."""
        return int(self._arrays["ids"].shape[2]) if "ids" in self._arrays else 0

    @property
    def ids(self) -> U16:
        """Chosen experts [N,L,K], in order of falling score, then UNUSED_EXPERT in places that stayed empty."""
        found = self._view("ids")
        return np.zeros((0, len(self.layers), 0), np.uint16) if found is None else found

    @property
    def weights(self) -> F16 | None:
        """Weights of the chosen experts [N,L,K], or None when they were not recorded."""
        return self._view("weights")

    @property
    def margin(self) -> F16 | None:
        """Biased score of the last chosen expert minus the first rejected one [N,L], or None."""
        return self._view("margin")

    @property
    def shared(self) -> F16 | None:
        """Share of each layer's output norm that the shared experts gave [N,L], or None."""
        return self._view("shared")

    @property
    def candidates(self) -> U16 | None:
        """Best 2K experts by biased score [N,L,2K], or None outside "full" mode."""
        return self._view("candidates")

    @property
    def raw(self) -> F16 | None:
        """Scores of the candidates before the correction bias [N,L,2K], or None."""
        return self._view("raw")

    @property
    def biased(self) -> F16 | None:
        """Scores of the candidates with the correction bias [N,L,2K], or None."""
        return self._view("biased")

    def _view(self, name: str) -> npt.NDArray[Any] | None:
        array = self._arrays.get(name)
        return None if array is None else array[: len(self.tokens)]

    def append(self, tokens: Sequence[TraceToken], block: RoutingBlock) -> None:
        """Add tokens with their routing rows.

        Raises:
            ValueError: other layers or another top-k than the rows before (the model was changed), or an
                expert number out of range.
        """
        assert len(tokens) == len(block)
        if not tokens:
            return
        new = block.arrays()
        if not self.tokens:
            if len(block.layers) * self.num_experts > MOST_CELLS:
                raise ValueError(f"{len(block.layers)} layers of {self.num_experts} experts are more than any model "
                                 "has. The trace is damaged; record it again.")
            self.layers = block.layers
            self._arrays = {name: np.empty((0, *array.shape[1:]), array.dtype) for name, array in new.items()}
            self._capacity = 0
        if block.layers != self.layers or new["ids"].shape[1:] != self._arrays["ids"].shape[1:]:
            raise ValueError("The routing has another shape than the trace so far: the model was changed in "
                             "between. Start a new trace.")
        ids = new["ids"]
        if int(ids.max(initial=0, where=ids != UNUSED_EXPERT)) >= self.num_experts:
            raise ValueError(f"An expert number is beyond the {self.num_experts} experts of the trace's model. The "
                             "trace or the server's answer is damaged; record it again.")
        self._arrays = {name: array for name, array in self._arrays.items() if name in new}
        filled = len(self.tokens)
        self._grow(filled + len(tokens))
        for name, array in self._arrays.items():
            array[filled:filled + len(tokens)] = new[name]
        self._is_decode[filled:filled + len(tokens)] = [token.phase == "decode" for token in tokens]
        self.tokens.extend(tokens)

    def append_wire(self, chunk: Mapping[str, Any]) -> int:
        """Add the tokens of a stream chunk that carries routing; give how many were added.

        Raises:
            ValueError: the chunk is damaged or comes from another model.
        """
        tokens, block = from_wire(chunk)
        if block is None:
            return 0
        self.append(tokens, block)
        return len(tokens)

    def _grow(self, needed: int) -> None:
        if needed <= self._capacity:
            return
        self._capacity = max(needed, 2 * self._capacity, 64)
        for name, old in self._arrays.items():
            grown = np.zeros((self._capacity, *old.shape[1:]), old.dtype)
            grown[: len(self.tokens)] = old[: len(self.tokens)]
            self._arrays[name] = grown
        self._is_decode = np.concatenate([self._is_decode, np.zeros(self._capacity - len(self._is_decode), np.bool_)])

    def rows_of(self, phase: Phase) -> npt.NDArray[np.intp]:
        """Give the row numbers of a phase, for `take` and the statistics."""
        return np.flatnonzero(self._is_decode[: len(self.tokens)] == (phase == "decode"))

    def passes(self, rows: npt.NDArray[np.intp] | Sequence[int] | None = None) -> npt.NDArray[np.intp]:
        """Give the row of the pass that is told of each token (None: all): [N].

        For the prompt's tokens that is the pass that read them, for the answer's the one before, that wrote them.
        Where a trace begins with an answer, nothing is known of the pass that wrote its first token; it keeps its own.
        """
        index = np.arange(len(self.tokens), dtype=np.intp) if rows is None else np.asarray(rows, dtype=np.intp)
        return np.maximum(index - self._is_decode[index], 0)

    def take(self, rows: npt.NDArray[np.intp] | Sequence[int]) -> "RoutingTrace":
        """Copy some rows into a trace of their own."""
        index = np.asarray(rows, dtype=np.intp)
        part = RoutingTrace(num_experts=self.num_experts, model=self.model, fingerprint=self.fingerprint)
        part.layers = self.layers
        part.tokens = [self.tokens[row] for row in index]
        part._is_decode = self._is_decode[index]
        part._arrays = {name: array[: len(self.tokens)][index] for name, array in self._arrays.items()}
        part._capacity = len(index)
        return part

    def snapshot(self) -> "RoutingTrace":
        """Give the trace as it is now, for reading in another thread while this one grows; arrays are shared views."""
        frozen = RoutingTrace(num_experts=self.num_experts, model=self.model, fingerprint=self.fingerprint)
        frozen.layers, frozen.tokens, frozen._capacity = self.layers, list(self.tokens), len(self.tokens)
        frozen._arrays = {name: array[: len(self.tokens)] for name, array in self._arrays.items()}
        frozen._is_decode = self._is_decode[: len(self.tokens)]
        return frozen

    def block(self) -> RoutingBlock:
        """Give all rows as one value, as views."""
        arrays: dict[str, Any] = {name: self._view(name) for name in self._arrays}
        return RoutingBlock(layers=self.layers, **{"ids": self.ids, **arrays})

    def save(self, path: str | Path) -> None:
        """Write a `.moetrace` file, atomically.

        Raises:
            OSError: the disk refuses; a file that was there stays as it was.
        """
        arrays = {name: np.ascontiguousarray(self._view(name)) for name in self._arrays}
        metadata = {
            "format": "moetrace", "version": FORMAT_VERSION, "fingerprint": self.fingerprint,
            "layers": json.dumps(self.layers), "num_experts": str(self.num_experts), "model": json.dumps(self.model),
            "tokens": json.dumps([{**_token_wire(token), "phase": token.phase} for token in self.tokens]),
        }
        write_container(Path(path), arrays, metadata)

    @classmethod
    def load(cls, path: str | Path) -> "RoutingTrace":
        """Read a `.moetrace` file.

        Raises:
            OSError: the file can't be read.
            ValueError: it is no trace, or it is damaged or cut off.
        """
        metadata, arrays = read_container(Path(path), kind="moetrace")
        if metadata.get("version") != FORMAT_VERSION:
            raise ValueError(f"{path} was written by another version of this program (format "
                             f"{metadata.get('version')!r}, this one reads {FORMAT_VERSION}). Update the program.")
        try:
            trace = cls(num_experts=int(metadata["num_experts"]), model=json.loads(metadata["model"]),
                        fingerprint=metadata["fingerprint"])
            tokens = [_read_token(token, token["phase"]) for token in json.loads(metadata["tokens"])]
            layers = _read_layers(json.loads(metadata["layers"]))
            if not 1 <= trace.num_experts < UNUSED_EXPERT:
                raise ValueError(f"{trace.num_experts} experts")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} is damaged: its description can't be read ({error!r}). Save it again.") from error
        _check_arrays(path, arrays, len(tokens), len(layers))
        if tokens:
            trace.append(tokens, RoutingBlock(layers=layers, **cast("dict[str, Any]", arrays)))
        return trace


def _read_token(wire: Mapping[str, Any], phase: Any) -> TraceToken:
    """Read one token of a file or an answer, neither of which is trusted.

    Raises:
        KeyError, TypeError, ValueError: a field is missing, or is not what it should be.
    """
    text, logprob = wire["text"], wire.get("logprob")
    places = {name: wire.get(name) for name in ("start", "end", "message")}
    if phase not in ("prefill", "decode") or not isinstance(text, str):
        raise TypeError(f"phase {phase!r}, text {text!r:.80}")
    if logprob is not None and not (isinstance(logprob, int | float) and math.isfinite(logprob)):
        raise TypeError(f"logprob {logprob!r}")
    for value in (wire["id"], *places.values()):
        if value is not None and not (isinstance(value, int) and -1 <= value < 2**31):
            raise TypeError(f"{value!r:.80} is no place")
    if (places["start"] is None) != (places["end"] is None) or (places["start"] or 0) > (places["end"] or 0):
        raise ValueError(f"a token from {places['start']} to {places['end']}")
    # Half of a surrogate pair is no text that could be shown or stored.
    text = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
    return TraceToken(id=int(wire["id"]), text=text, phase=phase, logprob=logprob, **places)


def _read_layers(values: Any) -> tuple[int, ...]:
    layers = tuple(values)
    if not all(isinstance(layer, int) and 0 <= layer < 2**16 for layer in layers) or len({*layers}) < len(layers):
        raise ValueError(f"layers {layers!r:.80}")
    return layers


def _check_arrays(path: str | Path, arrays: dict[str, npt.NDArray[Any]], tokens: int, layers: int) -> None:
    widths: dict[bool, int] = {}
    for name, array in arrays.items():
        fits = array.dtype == _DTYPES.get(name) and array.shape[:2] == (tokens, layers)
        fits = fits and array.ndim == (2 if name in _PER_LAYER else 3)
        if fits and array.ndim == 3:
            fits = array.shape[2] == widths.setdefault(name in ("ids", "weights"), array.shape[2])
        if not fits:
            raise ValueError(f"{path} is damaged: the array {name!r} does not fit its tokens. Save the trace again.")
        if array.dtype == np.float16 and np.isnan(array).any():
            raise ValueError(f"{path} is damaged: the array {name!r} holds values that are no numbers. Save the trace "
                             "again.")
    if tokens and not (layers and arrays.get("ids", np.empty(0)).size):
        raise ValueError(f"{path} is damaged: it holds no expert numbers. Save the trace again.")
