"""What a number was computed from, in words: model, tokens, phase. Every view and every export says it."""

from collections.abc import Mapping

from engine.trace import Phase, RoutingTrace

PhaseChoice = Phase | None
_PHASES: Mapping[PhaseChoice, str] = {None: "prompt and answer", "prefill": "prompt", "decode": "answer"}


def tokens_text(count: int, phase: PhaseChoice, *, is_selected: bool = False) -> str:
    """Say which tokens were counted, as in "612 answer tokens"."""
    what = f"selected {_PHASES[phase]}" if is_selected and phase else "selected" if is_selected else _PHASES[phase]
    return f"{count:,} {what} {'token' if count == 1 else 'tokens'}"


def model_text(trace: RoutingTrace) -> str:
    """Say which model a trace is of, with the start of its fingerprint."""
    name = str(trace.model.get("id") or "model not named")
    return f"{name} ({trace.fingerprint[:12]})" if trace.fingerprint else name


def about(trace: RoutingTrace, tokens: str) -> dict[str, str]:
    """What an export carries along."""
    return {"model": model_text(trace), "computed_from": tokens}
