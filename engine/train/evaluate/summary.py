"""From judged answers to the figures of an evaluation: shares with their counts, by kind, and kinds below the aims."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

AIMS = {"clean": 0.97, "asked_right": 0.90, "asked_in_source": 0.90, "edits_applied": 0.95, "declined": 0.98}
CHANCE = 0.05  # a shortfall that a kind which meets the aim would have more often than this may be chance
Record = dict[str, Any]
Figure = dict[str, float | int | None]


def share(records: Iterable[Record], is_right: Callable[[Record], object]) -> Figure:
    """The part of the records that are right, with how many there were; None of none."""
    found = [bool(is_right(record)) for record in records]
    return {"share": round(sum(found) / len(found), 4) if found else None, "of": len(found)}


def of_type(records: Sequence[Record], *types: str) -> list[Record]:
    """Records of these sample types."""
    return [record for record in records if record["type"] in types]


def summarise(records: Sequence[Record]) -> dict[str, Figure]:
    """All figures of one set of answers. Where pages were not run, those about pages are left out."""
    made = of_type(records, "create", "switch")
    edits, by_hand, fixes = (of_type(records, name) for name in ("edit", "edit_by_hand", "fix"))
    figures = _pages([record for record in [*made, *edits, *fixes] if "clean" in record]) | {
        "right_kind": share(made, lambda record: record["right_kind"]),
        "asked_stated": share(_asked(made), lambda each: each["stated"]),
        "asked_in_source": share(_asked(made), lambda each: each["in_source"]),
        "all_as_asked": share(made, lambda record: record["follows"]),
        "exact": share(made, lambda record: record["exact"]),
        "edits_applied": share(edits, lambda record: record["applied"]),
        "by_hand_applied": share(by_hand, lambda record: record["applied"]),
        "by_hand_exact": share(by_hand, lambda record: record["exact"]),
        "edits_right": share(edits, lambda record: record["applied"] and record["follows"]),
        "fixes_right": share(fixes, lambda record: record["exact"]),
        "declined": share(of_type(records, "decline"), lambda record: record["right"]),
        "outside_without_program": share(of_type(records, "decline"), lambda record: record["quiet"]),
        "chat_right": share(of_type(records, "chat"), lambda record: record["right"]),
    }
    return {name: figure for name, figure in figures.items() if figure["of"]}


def _pages(run: Sequence[Record]) -> dict[str, Figure]:
    """What was seen of pages."""
    made = of_type(run, "create", "switch")
    return {
        "clean": share(run, lambda record: record["clean"]),
        "drew": share(run, lambda record: record["drew"]),
        "moves": share((record for record in run if record["should_move"]), lambda record: record["moved"]),
        "reacts": share((record for record in run if record["should_react"]), lambda record: record["reacts"]),
        "asked_right": share(_asked(made), lambda each: each["in_source"] and each["clean"]),
        "asked_shown": share((each for each in _asked(made) if each["shown"] is not None), lambda each: each["shown"]),
    }


def _asked(records: Sequence[Record]) -> list[Record]:
    """Every single thing asked for, with whether its page ran clean."""
    return [{**each, "clean": record.get("clean", False)} for record in records for each in record["asked"]]


def by_kind(records: Sequence[Record]) -> dict[str, dict[str, Figure]]:
    """The figures of each kind of program."""
    programs = of_type(records, "create", "switch", "edit", "fix")
    kinds = sorted({record["kind"] for record in programs})
    return {kind: summarise([record for record in programs if record["kind"] == kind]) for kind in kinds}


def below_aims(kinds: dict[str, dict[str, Figure]], chance: float = 1.0) -> dict[str, list[str]]:
    """Kinds that miss an aim, with the figures that do.

    With `chance`, only those where a kind that meets the aim would have so few right in less than this share of draws
    (a one-sided binomial test): of one kind there are only a few answers.
    """
    missed: dict[str, list[str]] = {}
    for kind, figures in kinds.items():
        names = [name for name, aim in AIMS.items() if name in figures
                 and (figures[name]["share"] or 0.0) < aim and _so_few(figures[name], aim) < chance]
        if names:
            missed[kind] = names
    return missed


def _so_few(figure: Figure, aim: float) -> float:
    """How probable it is that at most this many are right, where each one is with the probability `aim`."""
    of = int(figure["of"] or 0)
    right = round((figure["share"] or 0.0) * of)
    return sum(math.comb(of, count) * aim**count * (1 - aim) ** (of - count) for count in range(right + 1))
