"""The statistics of a trace as one JSON object: what the window shows, for scripts."""

from typing import Any, Literal

import numpy as np

from engine.routing_usage import usage
from engine.specialisation import labels_of_next, specialisation
from engine.token_classes import CLASSES, classify
from engine.trace import RoutingTrace
from engine.trace_check import check_trace

Part = Literal["answer", "prompt", "all"]


def report(trace: RoutingTrace, part: Part | None = None) -> dict[str, Any]:
    """Compute usage, specialisation and checks.

    Args:
        trace: the routing.
        part: which tokens; None for the answer where there is one, else the prompt.

    Raises:
        ValueError: the trace has no such tokens.
    """
    if part is None:
        part = "answer" if len(trace.rows_of("decode")) else "prompt"
    rows = (np.arange(len(trace), dtype=np.intp) if part == "all"
            else trace.rows_of("decode" if part == "answer" else "prefill"))
    if not len(rows):
        raise ValueError(f"The trace has no tokens of the {part}. Ask for another part.")
    found = usage(trace, rows)
    sample, labels = found.sample, classify(trace.tokens)
    return {
        "sample": {"text": str(sample), "model": sample.model, "fingerprint": sample.fingerprint, "part": part,
                   "prompt_tokens": sample.prompt_tokens, "answer_tokens": sample.answer_tokens},
        "usage": found.as_json(),
        "specialisation": specialisation(trace, labels, CLASSES, rows).as_json(),
        "specialisation_of_next": specialisation(trace, labels_of_next(labels), CLASSES, rows).as_json(),
        "checks": [{"check": finding.check, "verdict": finding.verdict, "text": finding.text}
                   for finding in check_trace(trace)],
    }


def report_text(values: dict[str, Any]) -> str:
    """Say the report in lines of text."""
    lines = [f"From {values['sample']['text']}", "",
             "layer  max/mean (chance)  evenness (chance)  never used (chance)  reuse (chance, by load)"]
    lines += [
        f"{layer['layer']:>5}  {layer['max_over_mean']:8.2f} ({layer['max_over_mean_by_chance']:.2f})"
        f"  {layer['entropy']:9.3f} ({layer['entropy_by_chance']:.3f})"
        f"  {layer['never_used']:10} ({layer['never_used_by_chance']:.1f})"
        f"  {layer['reuse']:.2f} ({layer['reuse_by_chance']:.2f}, {layer['reuse_by_load']:.2f})"
        for layer in values["usage"]["layers"]]
    for name, title in (("specialisation", "Chosen for the class of the token that is read"),
                        ("specialisation_of_next", "Chosen for the class of the token that is written next")):
        lines += _claim_lines(values[name], title)
    lines += ["", *(f"{finding['verdict']}: {finding['text']}" for finding in values["checks"])]
    return "\n".join(lines) + "\n"


def _claim_lines(special: dict[str, Any], title: str) -> list[str]:
    tested = f"claims that hold against {special['shifts']} shifts, over {special['comparisons']} comparisons"
    lines = ["", f"{title}: {tested}"]
    claims = [f"  layer {claim['layer']} expert {claim['expert']}: {claim['token_class']}, {claim['share']:.0%} of "
              f"{claim['of']} tokens, {claim['elsewhere']:.0%} elsewhere (log-odds {claim['log_odds']:.1f}, "
              f"p = {claim['p']:.3f})" for claim in special["claims"]]
    return [*lines, *(claims or ["  none"])]
