"""Figure and page of the MuonClip experiment, from what `experiment.py` kept."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_COLORS = {"AdamW": "#8a5cd6", "AdamW, slower": "#868e96", "Muon": "#d9480f", "MuonClip": "#0b7285"}
_SMOOTH = 15  # steps of the moving mean that is drawn of a loss
Runs = Sequence[Mapping[str, Any]]


def write_report(document: Mapping[str, Any], folder: Path) -> None:
    """Write muonclip.png and muonclip.md into `folder`."""
    _draw(document, folder / "muonclip.png")
    (folder / "muonclip.md").write_text(_page(document), "utf-8")


def _draw(document: Mapping[str, Any], path: Path) -> None:
    """Loss, and each head's largest logit, over steps."""
    figure = Figure(figsize=(11, 4.4), dpi=160, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    losses, logits = figure.subplots(1, 2)
    for method, color in _COLORS.items():
        runs = [run for run in document["runs"] if run["method"] == method]
        _draw_losses(losses, runs, method, color)
        _draw_logits(logits, runs, method, color)
    losses.set(title="Training loss, three seeds", xlabel="step", ylabel="nats per byte")
    logits.set(title="Largest attention logit: each head of seed 1, and the largest of all seeds", xlabel="step",
               yscale="log")
    logits.title.set_fontsize(10)
    losses.title.set_fontsize(10)
    tau = document["course"]["tau"]
    logits.axhline(tau, color="#444", linestyle=":", linewidth=1.2)
    logits.annotate(f"tau = {tau:g}", (1, tau), xycoords=("axes fraction", "data"), xytext=(3, 0),
                    textcoords="offset points", va="center", fontsize=9, color="#444")
    for axes in (losses, logits):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path)


def _draw_losses(axes: Axes, runs: Runs, method: str, color: str) -> None:
    for index, run in enumerate(runs):
        smooth = np.convolve(run["losses"], np.ones(_SMOOTH) / _SMOOTH, mode="valid")
        axes.plot(np.arange(len(smooth)) + _SMOOTH - 1, smooth, color=color, linewidth=1.3, alpha=0.8,
                  label=method if index == 0 else None)


def _draw_logits(axes: Axes, runs: Runs, method: str, color: str) -> None:
    if not runs:
        return
    steps = np.arange(len(runs[0]["logits"])) * runs[0]["logit_every"]
    axes.plot(steps, np.array(runs[0]["logits"]), color=color, linewidth=0.6, alpha=0.35)
    axes.plot(steps, np.max([run["logits"] for run in runs], axis=(0, 2)), color=color, linewidth=2, label=method)


def _page(document: Mapping[str, Any]) -> str:
    course, runs = document["course"], document["runs"]
    text = f"""# AdamW, Muon and MuonClip on a small model

`make experiment` runs this again (one thread, some 20 minutes); every loss and logit is in `muonclip.json`.

A model of Nano's make with {course['weights']:,} weights, {course['layers']} layers and {course['heads']} heads each
learns to predict the next byte of programs from Nano's corpus ({', '.join(course['kinds'])}): {course['steps']} steps
of {course['bytes_per_step']:,} bytes, in float32. The methods have the same start, batches, warm-up, decay and
learning rate, three seeds each. They differ in how matrices are stepped (embeddings, head and norms have AdamW's step
in all) and in whether QK-clip, with tau = {course['tau']:g}, follows. The rate, {course['lr']:g}, is far above Nano's
0.0025: it was chosen so that the logits of unclipped Muon grow, not so that any method does its best. "AdamW, slower"
has a tenth of it, for AdamW at the full rate is no fair rival.

![Loss and logits over steps](muonclip.png)

| | {' | '.join(_COLORS)} |
|---|{'---|' * len(_COLORS)}
"""
    rows: tuple[tuple[str, str, str], ...] = (
        ("loss on held-out programs, nats per byte", "held_out_loss", "{:.3f}"),
        ("loss of the last 50 steps", "last_loss", "{:.3f}"),
        ("largest logit of any head, ever", "top_logit", "{:.0f}"),
        ("largest logit at the last step", "last_top_logit", "{:.0f}"),
        (f"heads that were ever above tau, of {course['layers'] * course['heads']}", "heads_over_tau", "{:.0f}"),
        ("clips: heads times steps", "clips", "{:.0f}"),
        ("steps with a clip", "steps_with_clips", "{:.0f}"),
        ("spikes of the loss", "spikes", "{:.0f}"),
        ("gradient, processor ms per step", "gradient_ms", "{:.1f}"),
        ("optimiser, processor ms per step", "optimizer_ms", "{:.1f}"),
        ("clip, processor ms per step", "clip_ms", "{:.2f}"),
    )
    for words, name, form in rows:
        cells = [_cell([run[name] for run in runs if run["method"] == method], form) for method in _COLORS]
        text += f"| {words} | {' | '.join(cells)} |\n"
    sparse = len(runs[0]["load"])
    for place in range(sparse):
        layer = course["layers"] - sparse + place
        cells = [_cell([run["load"][place] for run in runs if run["method"] == method], "{:.2f}") for method in _COLORS]
        text += f"| load of layer {layer}, last 50 steps | {' | '.join(cells)} |\n"
    return f"{text}{_outcome(course, runs)}{_NOTES}"


def _outcome(course: Mapping[str, Any], runs: Runs) -> str:
    """Say what the numbers show, in sentences that are true of any outcome."""

    def told(method: str, name: str, form: str) -> str:
        return _cell([run[name] for run in runs if run["method"] == method], form)

    def middle(method: str, name: str) -> float:
        return float(statistics.median(run[name] for run in runs if run["method"] == method))

    clipped, free = middle("MuonClip", "held_out_loss"), middle("Muon", "held_out_loss")
    verdict = "no worse" if clipped <= free else "worse"
    spikes = sum(run["spikes"] for run in runs)
    cost = middle("MuonClip", "optimizer_ms") / middle("AdamW", "optimizer_ms")
    share = middle("MuonClip", "clip_ms") / sum(middle("MuonClip", name) for name in
                                                ("gradient_ms", "optimizer_ms", "clip_ms"))
    return f"""
## What came out

- **Logits.** Unclipped Muon's reached {told("Muon", "top_logit", "{:.0f}")}, MuonClip's
  {told("MuonClip", "top_logit", "{:.0f}")}, and ended at {told("MuonClip", "last_top_logit", "{:.0f}")} with tau =
  {course["tau"]:g}. A step may overshoot tau, because the clip follows it. Of {runs[0]["heads"]} heads
  {told("MuonClip", "heads_over_tau", "{:.0f}")} were ever clipped: it acts on single heads, not on the layer.
- **Quality.** Held-out loss was {told("MuonClip", "held_out_loss", "{:.2f}")} with the clip and
  {told("Muon", "held_out_loss", "{:.2f}")} without: {verdict}. Three seeds of one small model show no more than that.
- **AdamW.** At this rate it ended at {told("AdamW", "held_out_loss", "{:.2f}")} with logits up to
  {told("AdamW", "top_logit", "{:.0f}")}; at a tenth of it, at {told("AdamW, slower", "held_out_loss", "{:.2f}")} with
  {told("AdamW, slower", "top_logit", "{:.0f}")}. The second is the rival to compare with.
- **Spikes of the loss:** {spikes or "none"} in all {len(runs)} runs. Kimi K2's report tells of large runs that growing
  logits end in spikes; that a model this small has none says little about them.
- **What it costs:** the step of Muon takes {cost:.0f} times AdamW's (the Newton-Schulz iterations), the clip
  {share:.1%} of a whole training step.
"""


_NOTES = """
Each cell: the median of the seeds, and their range. A spike is a step whose loss lies above the median of the 64 steps
before it by more than six times their spread (1.4826 times the median absolute deviation); such steps less than 16
apart are one spike. The logit of a head is the largest query-key product (scaled, before the softmax) of the step's
batch, before the step's clip. Load is the tokens of the busiest expert over the mean of its layer, with balancing on
(bias steps of 0.002). Times are of the processor and medians over steps, on a machine that did other things as well.
"""


def _cell(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    middle, low, high = (form.format(value) for value in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"
