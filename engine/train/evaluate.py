"""A quick evaluation of an exported model on held-out requests: what was understood, written, changed and said.

Greedy, through the engine's own weights loader and runner, so FP8 rounding counts. A program counts as exact when it
is, character for character, what the corpus writes for the settings asked. Whether programs run is for `check` to say.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from engine.artifacts import apply_answer, understood
from engine.models.base import MoeModel
from engine.train.corpus import SAMPLE_TYPES, Corpus, Sample
from engine.train.data import encode_sample
from engine.train.tokenizer import END_ID, load_tokenizer
from engine.weights.load import load_model

BATCH = 8           # sequences decoded together
ANSWER_TOKENS = 2300
EXAMPLES = 12       # of wrong answers, shown in the report


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """An exported model and its tokenizer, writing greedy answers."""

    model: MoeModel
    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path) -> "Writer":
        """Open a model folder on the CPU."""
        return cls(model=load_model(folder, device=torch.device("cpu")).model, tokenizer=load_tokenizer(folder))

    def answers(self, samples: Sequence[Sample], done: Callable[[str], bool]) -> list[str]:
        """Answers to all samples, BATCH at a time, each ended by the end token or when `done` says so of its text."""
        starts = range(0, len(samples), BATCH)
        return [text for start in starts for text in self._batch(samples[start:start + BATCH], done)]

    def _batch(self, samples: Sequence[Sample], done: Callable[[str], bool]) -> list[str]:
        caches, following = [], []
        room = self.model.shape.context_length - ANSWER_TOKENS
        for sample in samples:
            document = encode_sample(self.tokenizer, sample)
            caches.append(self.model.new_cache())
            forward = self.model.prefill(document.ids[: document.prompt_tokens][-room:].tolist(), caches[-1])
            following.append(int(forward.logits[-1].argmax()))
        written: list[list[int]] = [[] for _ in samples]
        live = list(range(len(samples)))
        for _ in range(ANSWER_TOKENS):
            for row in live:
                if following[row] != END_ID:
                    written[row].append(following[row])
            live = [row for row in live if following[row] != END_ID and not done(self._tail(written[row]))]
            if not live:
                break
            forward = self.model.decode([following[row] for row in live], [caches[row] for row in live])
            for row, token in zip(live, forward.logits.argmax(-1).tolist(), strict=True):
                following[row] = token
        return [self.tokenizer.decode(ids) for ids in written]

    def _tail(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids[-4:])

    def loss(self, sample: Sample) -> float:
        """Mean loss over the answer's tokens, in nats."""
        document = encode_sample(self.tokenizer, sample)
        logits = self.model.prefill(document.ids[:-1].tolist(), self.model.new_cache(), all_logits=True).logits
        targets = torch.from_numpy(document.ids[1:])
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        return float(losses[document.prompt_tokens - 1:].mean())


def evaluate(folder: Path, kinds: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """Everything below over `count` held-out samples of each type (understanding over three times as many).

    Talk held before a program may show kinds that are not in `kinds`.
    """
    writer, corpus, rng = Writer.load(folder), Corpus(seed, "held_out"), random.Random(seed)  # noqa: S311
    report: dict[str, Any] = {"understanding": _understanding(writer, [
        corpus.sample_of("understood", rng, rng.choice(kinds)) for _ in range(3 * count)])}
    examples: list[dict[str, str]] = report["understanding"].pop("wrong")
    for sample_type in SAMPLE_TYPES:
        if sample_type == "understood":
            continue
        samples = [corpus.sample_of(sample_type, rng, rng.choice(kinds)) for _ in range(count)]
        texts = writer.answers(samples, lambda _text: False)
        judge = _judge_program if sample_type in {"create", "edit", "switch", "fix"} else _judge_talk
        report[sample_type], wrong = judge(samples, texts)
        report[sample_type]["loss"] = round(float(np.mean([writer.loss(sample) for sample in samples])), 4)
        examples += wrong
    report["wrong"] = examples[:EXAMPLES * len(SAMPLE_TYPES)]
    return report


def _understanding(writer: Writer, samples: Sequence[Sample]) -> dict[str, Any]:
    """Share of right kinds, of asked settings stated, and of first lines exactly right."""
    texts = writer.answers(samples, lambda tail: "-->" in tail)
    kinds = asked = stated = exact = 0
    count, wrong = len(samples), []
    for sample, text in zip(samples, texts, strict=True):
        _, _, program = text.partition("```html index.html\n")
        got, wanted = understood(program), understood(sample.program)
        assert wanted is not None
        kinds += got is not None and got.kind == wanted.kind
        asked += len(wanted.chips)
        stated += len(set(wanted.chips) & set(got.chips)) if got else 0
        exact += got == wanted
        if got != wanted:
            wrong.append(_example(sample, sample.program.split("\n", 1)[0], program or text))
    return {"requests": count, "right_kind": round(kinds / count, 3), "settings_stated": round(stated / asked, 3),
            "lines_exact": round(exact / count, 3), "wrong": wrong[:EXAMPLES]}


def _judge_program(samples: Sequence[Sample], texts: Sequence[str]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Answers that gave the file, with the right first line, and the exact program."""
    applied = lines = exact = 0
    wrong = []
    for sample, text in zip(samples, texts, strict=True):
        result = apply_answer({"index.html": sample.before} if sample.before else {}, text)
        program = result.files.get("index.html", "") if result.changes else ""
        applied += bool(result.changes) and not result.rejects
        lines += program.split("\n", 1)[0] == sample.program.split("\n", 1)[0]
        same = program.strip() == sample.program.strip()
        exact += same
        if not same:
            wrong.append(_example(sample, sample.answer, text))
    count = len(samples)
    return {"answers": count, "applied": round(applied / count, 3), "right_first_line": round(lines / count, 3),
            "exact": round(exact / count, 3)}, wrong[:EXAMPLES]


def _judge_talk(samples: Sequence[Sample], texts: Sequence[str]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Answers that wrote no file, and ones that say what the corpus says to some request of that sort."""
    quiet = exact = 0
    wrong = []
    for sample, text in zip(samples, texts, strict=True):
        quiet += "```" not in text
        exact += text == sample.answer
        if "```" in text or not text.endswith(tuple(".!?")):
            wrong.append(_example(sample, sample.answer, text))
    count = len(samples)
    return {"answers": count, "without_program": round(quiet / count, 3),
            "same_words": round(exact / count, 3)}, wrong[:EXAMPLES]


def _example(sample: Sample, wanted: str, got: str) -> dict[str, str]:
    """A wrong answer, cut to what fits a report."""
    return {"type": sample.type, "request": sample.messages[-1]["content"][-200:], "wanted": wanted[:400],
            "got": got[:400]}
