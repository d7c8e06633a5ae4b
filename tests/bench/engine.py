"""The engine's speed: start, first token, prefill and decode, the cost of capture, and transformers beside it."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import torch

from engine.config import ModelConfig, read_config
from engine.weights.checkpoint import Checkpoint
from engine.weights.load import load_module
from engine.weights.names import slots
from engine.weights.save import save_checkpoint

NANO = Path(__file__).parents[2] / "resources" / "models" / "nano"
PROMPT = "a snowy mountain scene at sunset with 80 pine trees and a frozen lake"
DECODE_TOKENS = 200
RUNS = 5
KEY = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A running engine: its client and process, and how long it took to be ready."""

    client: httpx.Client
    process: psutil.Process
    ready_s: float


@contextmanager
def running_engine() -> Iterator[Engine]:
    """Start `python -m engine serve` on Nano and wait until the model is loaded."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "engine", "serve", "--model", str(NANO)]
    process = subprocess.Popen(
        command, env={**os.environ, "EXPERTARIUM_API_KEY": KEY}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {KEY}"}, timeout=120
        ) as client:
            while client.get("/healthz").json()["status"] != "ready":
                time.sleep(0.02)
            ready_s = time.perf_counter() - started
            yield Engine(client=client, process=psutil.Process(process.pid), ready_s=ready_s)
    finally:
        process.kill()
        process.wait()


def one_answer(engine: Engine, *, routing: str, seed: int) -> tuple[float, dict[str, float]]:
    """Stream one answer; return seconds to the first token and the engine's own timings."""
    body = {
        # A number in front, so that no run finds the prompt in the prefix cache.
        "messages": [{"role": "user", "content": f"{seed} {PROMPT}"}],
        "stream": True, "temperature": 1.0, "seed": seed,
        "max_tokens": DECODE_TOKENS, "routing": routing,
    }
    started, first = time.perf_counter(), 0.0
    timings: dict[str, float] = {}
    with engine.client.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            if not first and chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                first = time.perf_counter() - started
            timings = chunk.get("timings") or chunk.get("expertarium", {}).get("timings") or timings
    return first, timings


def measure_engine() -> dict[str, float]:
    """Return the engine's figures, medians of several runs; the modes of capture take turns."""
    with running_engine() as engine:
        one_answer(engine, routing="off", seed=0)
        speeds: dict[str, list[float]] = {"off": [], "ids": [], "full": []}
        firsts, prefills = [], []
        for run in range(RUNS):
            for number, mode in enumerate(speeds):
                first, timings = one_answer(engine, routing=mode, seed=10 * run + number + 1)
                speeds[mode].append(timings["decode_tokens_per_s"])
                firsts.append(first)
                prefills.append(timings["prefill_tokens_per_s"])
        medians = {mode: statistics.median(values) for mode, values in speeds.items()}
        return {
            "engine ready, s": engine.ready_s,
            "first token, ms": 1000 * statistics.median(firsts),
            "prefill, tok/s": statistics.median(prefills),
            "decode without capture, tok/s": medians["off"],
            "decode with expert ids, tok/s": medians["ids"],
            "decode with full routing, tok/s": medians["full"],
            "cost of capturing ids, %": 100 * (1 - medians["ids"] / medians["off"]),
            "cost of capturing all, %": 100 * (1 - medians["full"] / medians["off"]),
            "engine memory, MB": engine.process.memory_info().rss / 1e6,
        }


TRANSFORMERS_SCRIPT = """
import json, sys, time, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
torch.set_num_threads(1)
folder, prompt, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
text = [{"role": "user", "content": prompt}]
rendered = tokenizer.apply_chat_template(text, add_generation_prompt=True, return_tensors="pt", return_dict=True)
ids = rendered["input_ids"]
def seconds(count):
    started = time.perf_counter()
    model.generate(ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)
    return time.perf_counter() - started
seconds(4)
rates = []
for _ in range(3):
    first, all_of_them = seconds(1), seconds(tokens)
    rates.append((tokens - 1) / (all_of_them - first))
print(json.dumps(sorted(rates)[1]))
"""


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


def measure_transformers() -> dict[str, float]:
    """Return transformers' decode speed on the same weights, float32 and one thread as ours."""
    with tempfile.TemporaryDirectory() as folder:
        write_plain_copy(Path(folder))
        command = [sys.executable, "-W", "ignore", "-c", TRANSFORMERS_SCRIPT, folder, PROMPT, str(DECODE_TOKENS)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"transformers decode, same weights, tok/s": json.loads(done.stdout.splitlines()[-1])}
