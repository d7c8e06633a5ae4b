"""A quick look at a training state: held-out loss per type and kind, and how well requests are understood.

Understanding is read from greedy first lines, which are cheap: no program is written. The full evaluation runs
what was shipped; this one guides training.
"""

import random
import re
from typing import Any

import numpy as np
import torch

from engine.artifacts import understood
from engine.train.corpus import SAMPLE_TYPES, Corpus, Sample
from engine.train.data import Document, encode_sample, pack
from engine.train.loop import Trainer
from engine.train.network import Network
from engine.train.plan import NANO_CONFIG, Plan
from engine.train.tokenizer import END_ID, load_tokenizer

LINE_TOKENS = 90


def evaluate(plan: Plan, count: int) -> dict[str, Any]:
    """Losses over `count` held-out samples of each type, and greedy first lines for `count` requests."""
    trainer = Trainer(plan, NANO_CONFIG, torch.device("cpu"), torch.bfloat16)
    trainer.resume(plan.checkpoint)
    corpus, tokenizer = Corpus(plan.seed, "held_out"), load_tokenizer(plan.tokenizer)
    rng = random.Random(0)  # noqa: S311
    losses: dict[str, list[float]] = {}
    for sample_type in SAMPLE_TYPES:
        for _ in range(max(4, count // 4)):
            document = encode_sample(tokenizer, corpus.sample_of(sample_type, rng))
            losses.setdefault(f"{sample_type} {document.kind}", []).append(_answer_loss(trainer.network, document))
    requests = [corpus.sample_of("understood", rng) for _ in range(count)]
    texts = first_lines(trainer.network, [encode_sample(tokenizer, sample) for sample in requests], tokenizer.decode)
    return {
        "step": trainer.position.step, "tokens": trainer.position.tokens,
        "answer_loss": {name: round(float(np.mean(values)), 4) for name, values in sorted(losses.items())},
        **_understanding(requests, texts),
    }


@torch.no_grad()
def _answer_loss(network: Network, document: Document) -> float:
    """Mean loss over the answer's tokens, in nats."""
    batch = pack([document], torch.device("cpu"), torch.bfloat16)
    _loss, rows = network.loss(batch)
    return float(rows[batch.weights_T >= 1].mean())


@torch.no_grad()
def first_lines(network: Network, documents: list[Document], decode: Any) -> list[str]:
    """Greedy answers up to the end of the understood line, all requests in step (the context is short: no cache)."""
    contexts = [document.ids[: int((document.weights < 1).sum())] for document in documents]
    starts = [len(context) for context in contexts]
    open_rows = set(range(len(contexts)))
    for _ in range(LINE_TOKENS):
        if not open_rows:
            break
        rows = sorted(open_rows)
        # One unused id at the end: packing drops each document's last.
        padded = [Document(ids=np.append(contexts[row], END_ID), weights=np.ones(len(contexts[row]) + 1, np.float32),
                           kind=str(row), type="") for row in rows]
        for block in range(0, len(rows), 64):
            for row, token in _next_tokens(network, padded[block:block + 64]):
                contexts[row] = np.append(contexts[row], token)
                text = decode(contexts[row][starts[row]:].tolist())
                if token == END_ID or "-->" in text:
                    open_rows.discard(row)
    return [decode(context[start:].tolist()) for context, start in zip(contexts, starts, strict=True)]


def _next_tokens(network: Network, documents: list[Document]) -> list[tuple[int, int]]:
    """(row, most likely next id) of each document; `kind` holds the row, and each is a segment of its own."""
    results = []
    for document in documents:
        hidden_Td = network.hidden(pack([document], torch.device("cpu"), torch.bfloat16))
        logits_V = hidden_Td[-1:].float() @ network.weights["head"].float().t()
        results.append((int(document.kind), int(logits_V.argmax())))
    return results


def _understanding(requests: list[Sample], texts: list[str]) -> dict[str, Any]:
    """Share of right kinds, of asked settings stated, and of lines exactly right."""
    kinds = asked = stated = exact = 0
    wrong = []
    for sample, text in zip(requests, texts, strict=True):
        match = re.search(r"<!--.*-->", text)
        answer, wanted = understood(match[0] if match else ""), understood(sample.program)
        assert wanted is not None
        chips = set(answer.chips) if answer else set()
        kinds += answer is not None and answer.kind == wanted.kind
        asked += len(wanted.chips)
        stated += len(chips & set(wanted.chips))
        same = answer is not None and answer.kind == wanted.kind and chips == set(wanted.chips)
        exact += same
        if not same:
            wrong.append({"request": sample.messages[-1]["content"], "wanted": sample.program.split("\n", 1)[0],
                          "got": match[0] if match else text[:120]})
    return {"right_kind": kinds / len(requests), "settings_stated": stated / max(1, asked),
            "lines_exact": exact / len(requests), "wrong": wrong[:8]}
