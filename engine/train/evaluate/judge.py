"""Judging one answer: what it wrote, whether that runs, and whether it does what was asked."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

from engine.artifacts import apply_answer, understood
from engine.train.corpus import Corpus
from engine.train.evaluate.items import Item
from engine.train.evaluate.page_probes import is_shown
from engine.train.evaluate.pages import Report
from engine.train.evaluate.source_probes import SourceProbes
from engine.train.kinds import Kind
from engine.train.projects import files_of, text_of

ALIKE = 0.85  # of the characters: answers in words this close to one of the corpus's say the same
PAGE_TYPES = ("create", "switch", "edit", "fix")  # whose pages are run
PROGRAM_TYPES = (*PAGE_TYPES, "edit_by_hand")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One thing a request asked for. `shown` is None where the page does not show the attribute, or did not run."""

    name: str
    setting: str
    stated: bool
    in_source: bool
    shown: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What an answer made of the project. `program` is the page after it, "" where it wrote none."""

    program: str
    applied: bool
    right_kind: bool
    exact: bool
    asked: tuple[Asked, ...]
    kept: bool

    @property
    def follows(self) -> bool:
        """Whether everything asked is in the source, and what was not asked is as it should be."""
        return self.kept and all(each.in_source for each in self.asked)


def written(item: Item, text: str, kind: Kind, probes: SourceProbes, before: str | None = None) -> Written:
    """Apply an answer to the program there was (`before`, where it is not the request's) and read what comes of it."""
    sample = item.sample
    there = sample.before if before is None else before
    result = apply_answer(files_of(there) if there else {}, text)
    program = text_of(result.files) if result.changes else ""
    line = understood(program)
    right_kind = line is not None and line.kind == kind.name
    asked = tuple(
        Asked(name=name, setting=str(setting), in_source=right_kind and probes.is_right(name, sample.settings, program),
              stated=line is not None and _states(kind, name, setting, line.chips))
        for name, setting in sample.asked.items())
    others = [name for name in sample.settings if name not in sample.asked]
    return Written(
        program=program, applied=bool(result.changes) and not result.rejects, right_kind=right_kind, asked=asked,
        exact=bool(program) and files_of(program) == files_of(sample.program),
        kept=right_kind and all(probes.is_right(name, sample.settings, program) for name in others))


def _states(kind: Kind, name: str, setting: Any, chips: tuple[str, ...]) -> bool:
    chip = kind.attributes[name].chip(setting)
    return (chip not in chips) if setting is False else (chip in chips)


def program_record(item: Item, made: Written, got: Report | None, wanted: Report | None, expected: Sequence[str],
                   shown_by: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """A judged program. `got` and `wanted` report its page and the corpus's; None where pages are not run.

    expected: what the page should react to; shown_by: the facts that show each attribute.
    """
    clean = got is not None and bool(got["ok"])
    asked = [{**asdict(each), "shown": _shown(each, got, wanted, shown_by)} for each in made.asked]
    record = {
        "type": item.sample.type, "kind": item.sample.kind, "request": item.request, "applied": made.applied,
        "right_kind": made.right_kind, "exact": made.exact, "follows": made.follows, "asked": asked,
        "line": made.program.partition("\n")[0][:200], "wanted_line": item.sample.program.partition("\n")[0]}
    if got is None or wanted is None:
        return record
    return record | {
        "clean": clean, "drew": not got["blank"], "moved": bool(got["moved"]), "should_move": bool(wanted["moved"]),
        "reacts": set(expected) <= set(got["reacted_to"]), "should_react": bool(expected),
        "errors": [error["message"] for error in got["errors"]][:3]}


def _shown(each: Asked, got: Report | None, wanted: Report | None,
           shown_by: Mapping[str, frozenset[str]]) -> bool | None:
    probe = shown_by.get(each.name, frozenset())
    if got is None or wanted is None or not probe:
        return None
    return bool(got["ok"]) and is_shown(probe, got, wanted)


def talk_record(item: Item, text: str, corpus: Corpus) -> dict[str, Any]:
    """A judged answer in words: whether it wrote no file, and said what the corpus says to such a request."""
    quiet = not apply_answer({}, text).changes and "```" not in text
    says = any(_alike(text, answer) for answer in corpus.answers(item.sample.type))
    return {"type": item.sample.type, "kind": item.sample.kind, "request": item.request, "quiet": quiet,
            "right": quiet and says, "answer": text[:300]}


def _alike(text: str, answer: str) -> bool:
    return text == answer or SequenceMatcher(None, text, answer, autojunk=False).ratio() >= ALIKE
