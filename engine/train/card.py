"""The model card: what Nano is, what it was trained on, what was measured, and where its ground ends."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_HEAD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---
# Expertarium Nano

A mixture-of-experts language model of {parameters} parameters ({active} active per token) in the architecture of
DeepSeek-V3 and Kimi K2: multi-head latent attention, one dense layer and five layers of 32 experts of which 4 are
chosen by a sigmoid router with a balancing bias, and one shared expert. It was trained from scratch with MuonClip (Muon
with RMS matching, QK-clip at 30) on programs that Expertarium's own corpus generates, and is stored as Kimi K2 is, in
block FP8 (e4m3).
"""
_MEASURED = """
## Measured

Answers to held-out requests (wordings and combinations of settings not trained on), through the engine, from the FP8
file, without constraints on the text. Programs were run in `expertarium check`, which also presses keys and uses the
mouse. "Retry": as greedy, but a page that raised an error was sent back once with its report. In brackets: of how many.
`make eval` measures it again.

| what | greedy | temperature 0.7 | retry | aim |
|---|---|---|---|---|
"""
_LIMITS = """
## What it can't do

It writes the kinds of program listed above and knows nothing else: no general knowledge, no other programming
languages, no reasoning. Requests outside are meant to be answered with a sentence that says so. The first line of each
program states what was understood; when that line is wrong, so is the program. Data in its charts is generated.
"""
_ROWS = (
    ("clean", "pages that ran clean (no error, nothing refused, not blank)", 0.97),
    ("drew", "pages that drew something", None),
    ("moves", "pages that move, of those that should", None),
    ("reacts", "pages that react to keys or mouse as they should", None),
    ("right_kind", "kind of program right", None),
    ("asked_stated", "things asked for, stated in the first line", None),
    ("asked_in_source", "things asked for, right in the program", None),
    ("asked_right", "things asked for, right in a program that ran clean", 0.9),
    ("asked_shown", "things asked for, seen on the running page (where the page can show them)", None),
    ("all_as_asked", "programs with everything as asked", None),
    ("edits_applied", "changes that could be applied", 0.95),
    ("edits_right", "changes that did what was asked and nothing else", None),
    ("by_hand_applied", "changes to programs with numbers and colours altered by hand that could be applied", None),
    ("by_hand_exact", "of these, changes that did what was asked and kept what was altered", None),
    ("fixes_right", "reported errors put right", None),
    ("declined", "outside requests declined", 0.98),
    ("chat_right", "questions about itself and the program answered", None),
)


def card(run: Mapping[str, Any], report: Mapping[str, Any] | None) -> str:
    """README.md of an exported model. run: what training.json holds; report: what evaluation.json does, if any."""
    text = _HEAD.format(parameters=f"{run['parameters'] / 1e6:.1f}M", active=f"{run['active_parameters'] / 1e6:.1f}M")
    text += f"\nTraining so far: {run['steps']:,} steps, {run['tokens'] / 1e6:.1f} million tokens, "
    text += f"{run['minutes']:.0f} minutes on {run['device']}.{_load(run['load'])}{_mean(run['shares'])}\n\n"
    text += f"Kinds of program: {', '.join(run['kinds'])}.\n"
    if report is not None:
        text += _MEASURED + "".join(_row(report, *row) for row in _ROWS)
        text += _by_kind(report)
    return text + _LIMITS


def _load(load: Sequence[float]) -> str:
    """How evenly the experts are used."""
    times = ", ".join(f"{value:.1f}" for value in load)
    return f"\nAt its end the busiest expert of each layer had {times} times the mean load." if load else ""


def _mean(shares: Sequence[float]) -> str:
    """How the weights were made from states of the training, where they are a mean."""
    parts = " and ".join(f"{share:.0%}" for share in shares)
    return f"\nThe weights are a mean of {len(shares)} states of the training: {parts}." if shares else ""


def write_card(folder: Path) -> None:
    """Write a model folder's README.md from its training.json and, where there is one, evaluation.json."""
    path = folder / "evaluation.json"
    report = json.loads(path.read_text("utf-8")) if path.exists() else None
    run = json.loads((folder / "training.json").read_text("utf-8"))
    (folder / "README.md").write_text(card(run, report), "utf-8")


def _row(report: Mapping[str, Any], name: str, words: str, aim: float | None) -> str:
    columns = [_cell(report.get(part, {}).get(name), aim) for part in ("greedy", "sampled", "after_one_retry")]
    if not any(columns):
        return ""
    return f"| {words} | {' | '.join(columns)} | {'' if aim is None else f'{aim:.0%}'} |\n"


def _cell(figure: Mapping[str, Any] | None, aim: float | None = None) -> str:
    """A rate, with a decimal where rounding would hide that it is short of its aim or of 100%."""
    if figure is None:
        return ""
    share = figure["share"]
    fine = any(goal is not None and share < goal <= round(share * 100) / 100 for goal in (aim, 1.0))
    return f"{share:.{1 if fine else 0}%} ({figure['of']})"


def _by_kind(report: Mapping[str, Any]) -> str:
    """New programs, changes and fixes of each kind, greedy."""
    shown = ("clean", "asked_in_source", "all_as_asked", "edits_right")
    lines = ["", "By kind, greedy:", "", "| kind | ran clean | asked things right | all as asked | changes right |",
             "|---|---|---|---|---|"]
    for kind, figures in report["kinds"].items():
        lines.append(f"| {kind} | {' | '.join(_cell(figures.get(name)) for name in shown)} |")
    if report["below_aims"]:
        below, far = (", ".join(report[name]) for name in ("below_aims", "far_below_aims"))
        lines += ["", f"Below an aim: {below}.",
                  f"By more than so few answers leave to chance (p < 0.05): {far or 'none'}."]
    return "\n".join(lines) + "\n"
