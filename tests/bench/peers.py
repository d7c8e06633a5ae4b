"""Nano's decode and prefill beside transformers and llama.cpp: the same weights, prompts, and one thread each.

Every engine is a process of its own that waits for its turn; they take turns prompt by prompt, so whatever
else the machine does meets all of them. Greedy tokens are compared, for a speed counts only with the same text.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from engine.config import ModelConfig, read_config
from engine.tokenizer import ChatTokenizer, load_tokenizer
from engine.weights.checkpoint import Checkpoint
from engine.weights.gguf import export_gguf
from engine.weights.load import load_module
from engine.weights.names import slots
from engine.weights.save import save_checkpoint
from tests.bench.engine import DECODE_TOKENS, NANO
from tests.bench.figures import Figure

PREFILL_TOKENS = 512
REQUESTS = (
    "a snowy mountain scene at sunset", "a mountain scene with 40 trees and a lake", "mountains at night with stars",
    "bouncing balls in many colours", "a breakout game with five rows",
)


class Peer:
    """One engine's process; `run` gives seconds of prefill, tokens a second of decode, and the tokens."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, ids: Sequence[int], count: int) -> dict[str, Any]:
        """Read `ids`, then write up to `count` tokens greedily."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"ids": list(ids), "count": count}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended; run it by hand to see why")
        result: dict[str, Any] = json.loads(line)
        return result


@contextmanager
def running_peer(name: str, model: Path) -> Iterator[Peer]:
    """Start an engine over a model folder or file."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.peer_process", name, str(model)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True)
    with process:
        try:
            yield Peer(process)
        finally:
            process.kill()


def write_plain_copy(folder: Path) -> None:
    """Write Nano as float32, which transformers reads without decoding FP8."""
    values = read_config(NANO / "config.json")
    config = ModelConfig.from_json(values)
    module = load_module(Checkpoint(NANO), config, values, device=torch.device("cpu"), dtype=torch.float32)
    plain = {name: value for name, value in values.items() if name != "quantization_config"}
    save_checkpoint(slots(module), plain, folder, storage="float32")
    for file in NANO.glob("*"):
        if file.name.startswith(("tokenizer", "chat_template", "generation_config")):
            shutil.copy(file, folder)


@contextmanager
def all_peers() -> Iterator[dict[str, Peer]]:
    """Start every engine that is installed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_plain_copy(folder / "plain")
        models = {"Expertarium": NANO, "transformers": folder / "plain"}
        if importlib.util.find_spec("llama_cpp") is not None:
            export_gguf(NANO, folder / "nano.gguf")
            models["llama.cpp"] = folder / "nano.gguf"
        yield {name: stack.enter_context(running_peer(name, model)) for name, model in models.items()}


def measure_peers() -> list[Figure]:
    """Measure all engines that are installed, in turns."""
    tokenizer = load_tokenizer(NANO)
    with all_peers() as peers:
        for peer in peers.values():
            peer.run(_prompt(tokenizer, "warm up"), 8)
        decoded = _in_turns(peers, [(_prompt(tokenizer, request), DECODE_TOKENS) for request in REQUESTS])
        # A long prompt as a follow-up has one: a program of Nano's own, read anew.
        programs = [result["tokens"] for result in decoded["Expertarium"]]
        prompts = [(_prompt(tokenizer, f"now {request}") + program * 9)[:PREFILL_TOKENS]
                   for request, program in zip(REQUESTS, programs, strict=True)]
        read = _in_turns(peers, [(ids, 1) for ids in prompts])
    figures = []
    for name in peers:
        rates = [result["decode_tokens_per_s"] for result in decoded[name]]
        figures.append(Figure(name=f"decode, {name}", unit="tok/s", values=rates))
    for name in peers:
        rates = [PREFILL_TOKENS / result["prefill_s"] for result in read[name]]
        figures.append(Figure(name=f"prefill of {PREFILL_TOKENS} tokens, {name}", unit="tok/s", values=rates))
    for name in list(peers)[1:]:
        alike = [100 * _alike(result["tokens"], program) for result, program in
                 zip(decoded[name], programs, strict=True)]
        figures.append(Figure(name=f"greedy tokens like ours, {name}", unit="%", values=alike))
    return figures


def _in_turns(peers: dict[str, Peer], work: Sequence[tuple[list[int], int]]) -> dict[str, list[dict[str, Any]]]:
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in peers}
    names = list(peers)
    for number, (ids, count) in enumerate(work):
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            results[name].append(peers[name].run(ids, count))
    return results


def _prompt(tokenizer: ChatTokenizer, request: str) -> list[int]:
    return list(tokenizer.render_chat([{"role": "user", "content": request}]).ids)


def _alike(left: Sequence[int], right: Sequence[int]) -> float:
    """Share of the longer answer up to the first difference."""
    same = 0
    while same < min(len(left), len(right)) and left[same] == right[same]:
        same += 1
    return same / max(len(left), len(right), 1)
