"""The model card: what Nano is, what it was trained on, what was measured, and where its ground ends."""

from collections.abc import Mapping
from typing import Any

_HEAD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# Expertarium Nano

A mixture-of-experts language model of 18.4M parameters (4M active per token) in the architecture of DeepSeek-V3 and
Kimi K2: multi-head latent attention, one dense layer and five layers of 32 experts of which 4 are chosen by a sigmoid
router with a balancing bias, and one shared expert. It was trained from scratch with MuonClip (Muon with RMS matching,
QK-clip at 30) on programs that Expertarium's own corpus generates, and is stored as Kimi K2 is: block FP8 (e4m3).
"""
_LIMITS = """
## What it can't do

It writes the kinds of program listed above and knows nothing else: no general knowledge, no other programming
languages, no reasoning. Requests outside are meant to be answered with a sentence that says so. The first line of each
program states what was understood; when that line is wrong, so is the program. Data in its charts is generated.
"""
_SCORES = (("understanding", "right_kind", "kind of program understood"),
           ("understanding", "settings_stated", "asked settings stated in the first line"),
           ("understanding", "lines_exact", "first line exactly right"),
           ("create", "exact", "programs equal to the corpus's for what was asked"),
           ("create", "applied", "new programs complete"),
           ("edit", "exact", "changes that gave the right program"),
           ("edit", "applied", "changes that could be applied"),
           ("chat", "without_program", "questions answered without a program"),
           ("decline", "without_program", "outside requests answered without a program"))


def card(run: Mapping[str, Any], report: Mapping[str, Any] | None) -> str:
    """README.md of an exported model. run: what training.json holds; report: what `evaluate` measured."""
    text = _HEAD + f"\nTraining so far: {run['steps']:,} steps, {run['tokens'] / 1e6:.1f} million tokens, "
    text += f"{run['minutes']:.0f} minutes on {run['device']}.\n\nKinds of program: {', '.join(run['kinds'])}.\n"
    if report is not None:
        text += "\n## Measured\n\nGreedy answers to held-out requests (wordings and combinations not trained on),"
        text += " through the engine, from the FP8 file. No retries.\n\n| what | share | answers |\n|---|---|---|\n"
        for group, key, words in _SCORES:
            if group in report:
                count = report[group].get("answers", report[group].get("requests"))
                text += f"| {words} | {report[group][key]:.0%} | {count} |\n"
    return text + _LIMITS
