"""Training throughput: our step beside the same model under transformers with torch's AdamW, one thread each.

Both take the same tokens, in documents of one length (so that nothing is padded), and turns step by step. Ours is
what `make train` does: bfloat16 compute, float32 masters, MuonClip. Transformers has float32 weights and AdamW, once
under bfloat16 autocast and once in plain float32. A last figure is the whole of `make train`: on samples of the corpus,
made on the way, in as many processes as there are cores.
"""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

from engine.train.__main__ import NANO_FOLDER
from engine.train.corpus import Corpus
from engine.train.data import Document, encode_sample
from engine.train.group import Group, run_together
from engine.train.loop import Trainer
from engine.train.plan import NANO_CONFIG, Plan
from engine.train.tokenizer import load_tokenizer
from tests.bench.figures import Figure

DOCUMENTS, TOKENS = 12, 512
STEPS = 3
CORPUS_STEPS, CORPUS_BATCH = 8, 8192  # tokens of a batch in each process
Step = Callable[[np.ndarray], float]


def our_step() -> Step:
    """Take a step of the training loop; returns its loss."""
    plan = Plan(folder=Path(), minutes=1, batch_tokens=DOCUMENTS * TOKENS)
    trainer = Trainer(plan, NANO_CONFIG, torch.device("cpu"), torch.bfloat16)

    def step(ids_DT: np.ndarray) -> float:
        start = trainer.position.sample

        def draw(index: int, _progress: float) -> Document:
            ids = ids_DT[(index - start) % len(ids_DT)]
            return Document(ids=ids, weights=np.ones(len(ids), np.float32), kind="", type="", prompt_tokens=0)

        return trainer.step(draw, 0.1).loss

    return step


def their_step(*, autocast: bool) -> Step:
    """Take a step of transformers' model with torch.optim.AdamW; returns its loss."""
    torch.manual_seed(0)
    config = {name: value for name, value in NANO_CONFIG.items() if name not in {"architectures", "torch_dtype"}}
    model = DeepseekV3ForCausalLM(DeepseekV3Config(**config))
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    def step(ids_DT: np.ndarray) -> float:
        ids = torch.from_numpy(ids_DT)
        context: Any = torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext()
        with context:
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def measure_training() -> list[Figure]:
    """Measure all three, one warm-up step each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    steps = {"Expertarium (bfloat16, MuonClip)": our_step(),
             "transformers (bfloat16 autocast, AdamW)": their_step(autocast=True),
             "transformers (float32, AdamW)": their_step(autocast=False)}
    rates: dict[str, list[float]] = {name: [] for name in steps}
    generator = np.random.default_rng(0)
    for number in range(STEPS + 1):
        ids_DT = generator.integers(3, NANO_CONFIG["vocab_size"], (DOCUMENTS, TOKENS + 1))
        for name, step in steps.items():
            started = time.perf_counter()
            step(ids_DT)
            if number:
                rates[name].append(DOCUMENTS * TOKENS / (time.perf_counter() - started))
    torch.set_num_threads(threads)
    rates |= _corpus_rates()
    return [Figure(name=f"training Nano, {name}", unit="tok/s", values=values) for name, values in rates.items()]


def _corpus_rates() -> dict[str, list[float]]:
    """Tokens a second of each step on the corpus, of all processes together."""
    processes = os.cpu_count() or 1
    seen: list[float] = []
    run_together(processes, _CorpusRun(seen))
    return {f"Expertarium on its corpus in {processes} process{'es' * (processes > 1)}": seen}


class _CorpusRun:
    """One member's part; the first one's speeds are those that are seen, as the others have a copy of the list."""

    def __init__(self, seen: list[float]) -> None:
        self._seen = seen

    def __call__(self, group: Group) -> None:
        """Take the steps."""
        torch.set_num_threads(1)
        plan = Plan(folder=Path(), minutes=1, batch_tokens=CORPUS_BATCH, edits_from=0.0)
        trainer = Trainer(plan, NANO_CONFIG, torch.device("cpu"), torch.bfloat16, group)
        corpus, tokenizer = Corpus(plan.seed, "train"), load_tokenizer(NANO_FOLDER)
        for number in range(CORPUS_STEPS + 1):
            started = time.perf_counter()
            tokens = trainer.step(lambda index, _progress: encode_sample(tokenizer, corpus.sample(index)), 0.5).tokens
            if number:
                self._seen.append(tokens / (time.perf_counter() - started))
