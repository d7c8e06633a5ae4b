"""The course of an evaluation: ask, apply, run, judge, ask again where a page failed, and sum up."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from engine.train.corpus import Corpus
from engine.train.evaluate.answers import Answers, Question, answering
from engine.train.evaluate.corpus_pages import NEW_TYPES, CorpusPages
from engine.train.evaluate.items import Item, held_out_items
from engine.train.evaluate.judge import PAGE_TYPES, PROGRAM_TYPES, Written, program_record, talk_record, written
from engine.train.evaluate.pages import Report, Runners, checking
from engine.train.evaluate.source_probes import SourceProbes
from engine.train.evaluate.summary import CHANCE, Figure, Record, below_aims, by_kind, summarise
from engine.train.faults import report_errors
from engine.train.sample import in_context

TEMPERATURE = 0.7
SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How much to evaluate. `sampled` new programs are also asked for at TEMPERATURE, with each of SEEDS."""

    kinds: tuple[str, ...]
    count: int = 320
    sampled: int = 60
    seed: int = 1
    run_pages: bool = True


def default_cache() -> Path:
    """Where answers and pages are kept: the user's cache, outside any checkout."""
    return Path(platformdirs.user_cache_dir("expertarium")) / "evaluation"


def tell(text: str) -> None:
    """A progress line that takes the place of the one before."""
    sys.stderr.write(f"\r{text:<60}" if sys.stderr.isatty() else f"{text}\n")
    sys.stderr.flush()


class Evaluation:
    """One evaluation of one model folder."""

    def __init__(self, wanted: Wanted, answers: Answers, runners: Runners | None) -> None:
        self.wanted, self.answers, self.runners = wanted, answers, runners
        self.items = held_out_items(wanted.kinds, wanted.count, wanted.seed)
        self.corpus = Corpus(wanted.seed, "held_out", kinds=wanted.kinds)
        self._probes = {name: SourceProbes(kind) for name, kind in self.corpus.kinds.items()}
        self._right = None if runners is None else CorpusPages(self.items, self.corpus.kinds, runners)

    def report(self) -> dict[str, Any]:
        """Do everything and return the figures."""
        sampled = [item for item in self.items if item.sample.type == "create"][: self.wanted.sampled]
        asked = [(item, Question(messages=item.sample.messages, temperature=temperature, seed=seed))
                 for temperature, seeds, items in ((0.0, (0,), self.items), (TEMPERATURE, SEEDS, sampled))
                 for seed in seeds for item in items]
        self.answers.ask([question for _item, question in asked], tell)
        if self._right is not None:
            self._right.run(tell)
        greedy = self.records([(item, self.answers[question]) for item, question in asked if not question.temperature])
        warm = self.records([(item, self.answers[question]) for item, question in asked if question.temperature])
        kinds = by_kind(greedy)
        report: dict[str, Any] = {"greedy": summarise(greedy), "sampled": summarise(warm), "kinds": kinds,
                                  "below_aims": below_aims(kinds), "far_below_aims": below_aims(kinds, CHANCE)}
        if self._right is not None:
            report["after_one_retry"] = summarise(self.retried(greedy))
            report["not_seen_on_pages"] = self._right.not_shown()
        report["wrong"] = [record for record in greedy if _is_wrong(record)]
        return report

    def records(self, answered: Sequence[tuple[Item, str]]) -> list[Record]:
        """Judge answers, after all their pages have been run."""
        made = [self._written(item, text) if item.sample.type in PROGRAM_TYPES else None for item, text in answered]
        if self.runners is not None:
            there = [(item, one.program) for (item, _text), one in zip(answered, made, strict=True)
                     if one is not None and one.program and item.sample.type in PAGE_TYPES]
            self.runners.used.run([program for item, program in there if _is_new(item)], tell)
            self.runners.seen.run([program for _item, program in there], tell)
        return [self._record(item, text, one) for (item, text), one in zip(answered, made, strict=True)]

    def retried(self, greedy: Sequence[Record]) -> list[Record]:
        """The records again, with pages that raised an error mended by one more answer to its report."""
        assert self.runners is not None
        seen = self.runners.seen
        failed: list[tuple[int, Item, str, Question]] = []
        for index, (item, record) in enumerate(zip(self.items, greedy, strict=True)):
            program = self.program(item) if record.get("errors") else ""
            report = seen.report(program) if program else None
            if report is not None:
                message = {"role": "user", "content": in_context(program, report_errors(report["errors"], program))}
                failed.append((index, item, program, Question(messages=(message,))))
        self.answers.ask([question for *_rest, question in failed], tell)
        again = list(greedy)
        for index, item, program, question in failed:
            made = self._written(item, self.answers[question], before=program)
            (self.runners.used if _is_new(item) else seen).run([made.program] if made.program else [], tell)
            again[index] = self._record(item, "", made)
        return again

    def program(self, item: Item) -> str:
        """The page that the greedy answer to a request gives; "" where it gives none."""
        return self._written(item, self.answers[Question(messages=item.sample.messages)]).program

    def _written(self, item: Item, text: str, before: str | None = None) -> Written:
        name = item.sample.kind
        return written(item, text, self.corpus.kinds[name], self._probes[name], before=before)

    def _record(self, item: Item, text: str, made: Written | None) -> Record:
        if made is None:
            return talk_record(item, text, self.corpus)
        if self.runners is None or self._right is None or item.sample.type not in PAGE_TYPES:
            return program_record(item, made, None, None, (), {})
        got = self.runners.seen.report(made.program) if made.program else _NOTHING
        return program_record(item, made, got, self._right.report(item), self._right.reactions(item),
                              self._right.shown_by(item.sample.kind))


_NOTHING: Report = {"ok": False, "blank": True, "moved": False, "reacted_to": [], "errors": []}


def _is_new(item: Item) -> bool:
    """Whether the answer is a new program: these are used, changed ones only looked at."""
    return item.sample.type in NEW_TYPES


def _is_wrong(record: Record) -> bool:
    if record["type"] not in PROGRAM_TYPES:
        return not record["right"]
    if record["type"] not in PAGE_TYPES:
        return not record["exact"]
    return not (record["applied"] and record["follows"] and record.get("clean", True))


def evaluate(model: Path, wanted: Wanted, cache: Path, use: Callable[[Evaluation], dict[str, Any]]) -> dict[str, Any]:
    """Open model and checker, and let `use` do something with the evaluation: `Evaluation.report`, or a sheet."""
    with answering(model, cache) as answers:
        if not wanted.run_pages:
            return use(Evaluation(wanted, answers, None))
        with checking(cache / "pages") as runners:
            return use(Evaluation(wanted, answers, runners))


def run_corpus(wanted: Wanted, cache: Path) -> dict[str, Figure]:
    """Run the corpus's own pages for an evaluation to come; how many of each kind ran clean."""
    corpus = Corpus(wanted.seed, "held_out", kinds=wanted.kinds)
    with checking(cache / "pages") as runners:
        pages = CorpusPages(held_out_items(wanted.kinds, wanted.count, wanted.seed), corpus.kinds, runners)
        pages.run(tell)
        return pages.clean()
