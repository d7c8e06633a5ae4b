"""Samples to train and evaluate on, made from the data under resources/corpus.

`Corpus(seed, split).sample(index, stage)` is a function of its arguments alone. Sample types, whose shares in each
stage of training are in mixture.toml: `create` (a request, answered by a program), `understood` (the same, cut off
after the program's first line: cheap practice in reading requests), `edit` (a change to a program, answered by an edit
block), `switch` (a new program asked for while another is there), `fix` (a report of an error, answered by the mended
line), `chat` and `decline` (from chat.toml, outside.toml). `edit_by_hand` is an edit of a program that somebody has
changed by hand (hand_edits.py). `edit_part` and `fix_part` are edits and fixes of a file that has only the lines near
the change: to find a line and copy it is learnt there at half the tokens, half of the edits from lines changed by hand.

A training sample has neither a held-out wording nor a held-out combination of settings (split.py); a held-out sample
has a held-out wording and, where it asks for two things or more, a held-out combination. Changes with made-up words
around them (phrasing.py's NOISY_EDIT_FRAMES) are for training alone.
"""

import random
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.prompt import earlier_answer
from engine.train.edit_blocks import edit_answer, near_changes
from engine.train.faults import misspell
from engine.train.hand_edits import with_hand_edits
from engine.train.kinds import Attribute, Kind, Setting, Span, load_kinds
from engine.train.phrasing import (
    EDIT_FRAMES,
    NOISY_EDIT_FRAMES,
    TYPO_RATES,
    Request,
    compose_edit,
    compose_request,
    join_words,
)
from engine.train.sample import Message, Sample, assistant_turn, in_context, user_turn
from engine.train.split import Split, is_of_split
from engine.train.talk import load_talks, say

CORPUS_FOLDER = Path(__file__).resolve().parents[2] / "resources" / "corpus"
TELLING_WEIGHT = 4  # of a prompt that states a setting: it fits a small part of the requests
PROGRAM_RATE = 0.12  # of talk while a program is there: ten times the tokens for the same few words
ASKED_COUNTS: Mapping[Split, tuple[int, ...]] = {
    "held_out": (6, 24, 26, 20, 13, 7, 4),  # shares of requests that name none, one, two settings and so on
    "train": (5, 15, 18, 18, 16, 15, 13),  # more: what is not asked for is the default, which is soon known
}
COMBINATION_TRIES = 60  # with as many settings, so that held-out requests name as many as those of training
SAMPLE_TYPES = (
    "create", "understood", "edit", "edit_by_hand", "edit_part", "edit_understood", "switch", "fix", "fix_part", "chat",
    "decline",
)
PARTS_BY_HAND = 0.5  # of the parts of programs that are to be changed
_FENCE = "```html index.html\n"
_SWITCH_FRAMES = ("{r}", "{r}", "now {r}", "{r} instead", "start over: {r}", "something else: {r}", "new: {r}")
_EDIT_OPENERS = ("Done: {s}.", "Sure: {s}.", "OK, {s}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A program of a kind: its settings, and which of them somebody asked for."""

    kind: Kind
    settings: Mapping[str, Setting]
    listed: frozenset[str]


class Corpus:
    """An endless, repeatable source of samples.

    `kinds` are the kinds of program; where none are named, those that mixture.toml gives a weight.
    """

    def __init__(self, seed: int, split: Split, *, kinds: Sequence[str] = (), folder: Path = CORPUS_FOLDER) -> None:
        mixture = tomllib.loads((folder / "mixture.toml").read_text("utf-8"))
        weights = {name: float(weight) for name, weight in mixture["kinds"].items()}
        wanted = {name: weights.get(name, 1.0) or 1.0 for name in kinds}
        loaded = load_kinds(folder)
        missing = [name for name in kinds if name not in loaded]
        if missing:
            raise ValueError(f"There is no kind {', '.join(missing)}; there are {', '.join(loaded)}.")
        self._kind_weights = {name: (wanted if kinds else weights).get(name, 0.0 if kinds else 1.0) for name in loaded}
        self.kinds = {name: kind for name, kind in loaded.items() if self._kind_weights[name]}
        self._seed = seed
        self._split: Split = split
        self._stages: dict[str, dict[str, float]] = mixture["stages"]
        lists = _titles(self.kinds.values())
        self._talks = {"chat": load_talks(folder / "chat.toml", lists),
                       "decline": load_talks(folder / "outside.toml", lists)}

    def sample(self, index: int, stage: str = "full") -> Sample:
        """The sample at `index` of a stage, always the same one. Raises ValueError for a stage there is not."""
        if stage not in self._stages:
            raise ValueError(f"mixture.toml has no stage {stage!r}; it has {', '.join(self._stages)}.")
        rng = random.Random(f"{self._seed}/{self._split}/{index}")  # noqa: S311
        shares = self._stages[stage]
        return self.sample_of(rng.choices(list(shares), list(shares.values()))[0], rng)

    def sample_of(self, sample_type: str, rng: random.Random, kind: str | None = None) -> Sample:
        """A sample of one type, and of one kind if that is given."""
        if sample_type in self._talks:
            return self._talk(sample_type, rng)
        chosen = self.kinds[kind] if kind else self._any_kind(rng)
        if sample_type == "create":
            return self._create(chosen, rng, cut=False)
        if sample_type == "understood":
            return self._create(chosen, rng, cut=True)
        if sample_type in ("edit", "edit_by_hand", "edit_part", "edit_understood"):
            return self._edit(chosen, rng, sample_type)
        if sample_type in ("fix", "fix_part"):
            return self._fix(chosen, rng, part=sample_type == "fix_part")
        assert sample_type == "switch", sample_type
        return self._switch(chosen, rng)

    def answers(self, sample_type: str) -> list[str]:
        """Everything that is said in answers of a type without programs, chat or decline."""
        return [answer for talk in self._talks[sample_type] for answer in talk.answers]

    def _any_kind(self, rng: random.Random) -> Kind:
        names = list(self.kinds)
        return self.kinds[rng.choices(names, [self._kind_weights[name] for name in names])[0]]

    def _pick(self, wordings: Sequence[str], prefix: str, rng: random.Random) -> str:
        """One of the wordings on this corpus's side of the split; any, where none is."""
        mine = [wording for wording in wordings if is_of_split(f"{prefix}/{wording}", self._split)]
        return rng.choice(mine or list(wordings))

    def _asked(self, kind: Kind, rng: random.Random) -> dict[str, Setting]:
        """Settings a request names, as a combination on this side of the split."""
        while True:
            most = len(kind.attributes)
            count = min(most, rng.choices(range(7), ASKED_COUNTS[self._split])[0])
            for _ in range(COMBINATION_TRIES):
                names = rng.sample(list(kind.attributes), count)
                asked = {name: random_setting(kind.attributes[name], rng) for name in kind.attributes if name in names}
                asked = {name: value for name, value in asked.items() if _sayable(kind.attributes[name], value)}
                if len(asked) < 2 or is_of_split(combination(kind.name, asked), self._split):
                    return asked

    def _request(self, kind: Kind, asked: Mapping[str, Setting], rng: random.Random) -> Request:
        """A request for these settings; where a prompt fits that states one of them itself, that prompt often."""
        telling = [prompt for prompt, told in kind.telling_prompts.items() if told.items() <= asked.items()]
        template = self._pick([*kind.prompts, *telling * TELLING_WEIGHT], kind.name, rng)
        told = kind.telling_prompts.get(template, {})
        worded = {name: setting for name, setting in asked.items() if name not in told}
        return compose_request(kind, template, worded, TYPO_RATES[self._split], rng)

    def _create(self, kind: Kind, rng: random.Random, *, cut: bool) -> Sample:
        asked = self._asked(kind, rng)
        request = self._request(kind, asked, rng)
        sample_type, turns = "understood" if cut else "create", (user_turn(request.text),)
        return _answered(sample_type, _state(kind, asked), request, asked, turns, rng, cut=cut)

    def _switch(self, kind: Kind, rng: random.Random) -> Sample:
        """Another program is asked for while one is there: the whole file is written anew.

        That one is of one file: an answer can't take the others of a project away.
        """
        other = rng.choice([other for other in self.kinds.values() if other is not kind] or [kind])
        before, spans = _render(_state(other, _one_file(self._asked(other, rng))))
        asked = self._asked(kind, rng)
        request = self._request(kind, asked, rng)
        text = rng.choice(_SWITCH_FRAMES).replace("{r}", request.text)
        return _answered(
            "switch",
            _state(kind, asked),
            request,
            asked,
            (user_turn(in_context(before, text)),),
            rng,
            before=before,
            before_spans=spans,
        )

    def _edit(self, kind: Kind, rng: random.Random, sample_type: str) -> Sample:
        first = self._asked(kind, rng)
        first = first if sample_type in ("edit", "edit_by_hand") else _one_file(first)
        old = _state(kind, first)
        changes = self._changes(old, rng)
        settings = {**old.settings, **changes}
        new = _State(kind=kind, settings=settings, listed=(old.listed | set(changes)))
        before, before_spans = _render(old)
        after, _ = _render(new)
        if sample_type == "edit_part":
            before, after = near_changes(before, after, rng)
        if sample_type == "edit_by_hand" or (sample_type == "edit_part" and rng.random() < PARTS_BY_HAND):
            before, after = with_hand_edits(before, after, rng)
        if sample_type == "edit_understood":
            before, after = (text[: text.index("\n") + 1] for text in (before, after))
        frames = EDIT_FRAMES + (NOISY_EDIT_FRAMES if self._split == "train" else ())  # nobody would write those
        request = compose_edit(kind, self._pick(frames, "edit", rng), changes, TYPO_RATES[self._split], rng)
        says = [kind.attributes[name].say(value) for name, value in changes.items()]
        opener = rng.choice(_EDIT_OPENERS)
        head = opener.replace("{s}", join_words(says)) + "\n\n"
        answer, spans = edit_answer(head, before, after)
        if sample_type == "edit_understood":
            answer = answer[: answer.index(">>>>>>> REPLACE")]
            spans = tuple((start, min(stop, len(answer))) for start, stop in spans if start < len(answer))
        messages: tuple[Message, ...] = (user_turn(in_context(before, request.text)),)
        if rng.random() < 0.5:
            earlier = self._request(kind, first, rng)
            messages = (user_turn(earlier.text), assistant_turn(_earlier(kind, before, rng)), *messages)
        return Sample(
            type=sample_type,
            kind=kind.name,
            messages=messages,
            answer=answer,
            spans=((opener.index("{s}"), spans[0][1]), *spans[1:]),
            ends=sample_type != "edit_understood",
            asked=changes,
            settings=settings,
            templates=request.templates,
            program=after,
            before=before,
            before_spans=before_spans if sample_type == "edit" else (),
        )

    def _fix(self, kind: Kind, rng: random.Random, *, part: bool) -> Sample:
        """The page reports an error after a name was misspelt; the line is put right."""
        state = _state(kind, _one_file(self._asked(kind, rng)))
        program, _ = _render(state)
        fault = misspell(program, rng)
        if part:
            shown, program = near_changes(fault.program, program, rng)
            line = next(
                at
                for at, pair in enumerate(zip(shown.split("\n"), program.split("\n"), strict=True), start=1)
                if pair[0] != pair[1]
            )
            fault = replace(fault, program=shown, line=line)
        head = f"A name was misspelt: {fault.wrong} is now {fault.right}.\n\n"
        answer, spans = edit_answer(head, fault.program, program)
        return Sample(
            type="fix_part" if part else "fix",
            kind=kind.name,
            messages=(user_turn(in_context(fault.program, fault.report())),),
            answer=answer,
            spans=spans,
            ends=True,
            asked={},
            settings=state.settings,
            templates=(),
            program=program,
            before=fault.program,
        )

    def _changes(self, old: _State, rng: random.Random) -> dict[str, Setting]:
        """One to three settings that differ from the program's, which can be ordered and change its code."""
        attributes = old.kind.attributes
        while True:
            count = min(len(attributes), rng.choices((1, 2, 3), (6, 3, 1))[0])
            for _ in range(COMBINATION_TRIES):
                names = rng.sample(list(attributes), count)
                changes = {
                    name: random_setting(attributes[name], rng, off_rate=0.5) for name in attributes if name in names
                }
                fit = all(
                    value != old.settings[name] and _orderable(attributes[name], value)
                    for name, value in changes.items()
                )
                combined = combination(f"edit {old.kind.name}", changes)
                if fit and (len(changes) < 2 or is_of_split(combined, self._split)):
                    return changes

    def _talk(self, sample_type: str, rng: random.Random) -> Sample:
        talk, wording, text = say(self._talks[sample_type], self._split, rng)
        messages: tuple[Message, ...] = (user_turn(text),)
        if rng.random() < PROGRAM_RATE:
            messages = self._with_program(text, rng)
        return Sample(
            type=sample_type,
            kind=talk.name,
            messages=messages,
            answer=rng.choice(talk.answers),
            spans=(),
            ends=True,
            asked={},
            settings={},
            templates=(f"{talk.name}/{wording}",),
        )

    def _with_program(self, text: str, rng: random.Random) -> tuple[Message, ...]:
        """The same words said while a program is there."""
        kind = rng.choice(list(self.kinds.values()))
        asked = self._asked(kind, rng)
        request = self._request(kind, asked, rng)
        program = _render(_state(kind, asked))[0]
        return (
            user_turn(request.text),
            assistant_turn(_earlier(kind, program, rng)),
            user_turn(in_context(program, text)),
        )


def _titles(kinds: Iterable[Kind]) -> dict[str, str]:
    """What there is of each family of kinds, as a list in words."""
    families: defaultdict[str, list[str]] = defaultdict(list)
    for kind in kinds:
        families[kind.family].append(kind.title[0].lower() + kind.title[1:])
    return {family: join_words(titles) for family, titles in families.items()}


def combination(kind: str, asked: Mapping[str, Setting]) -> str:
    """A set of settings as one text, whatever their order."""
    return kind + "|" + "|".join(f"{name}={asked[name]}" for name in sorted(asked))


def random_setting(attribute: Attribute, rng: random.Random, *, off_rate: float = 0.1) -> Setting:
    """A setting somebody could ask for; flags are off at `off_rate`, numbers mostly round ones."""
    if attribute.type == "flag":
        return rng.random() >= off_rate
    if attribute.type == "choice":
        return rng.choice(list(attribute.values))
    return rng.choice(attribute.numbers) if rng.random() < 0.75 else rng.randint(attribute.least, attribute.most)


def _sayable(attribute: Attribute, setting: Setting) -> bool:
    return any(phrases.adj or phrases.with_ or phrases.post or phrases.edit for phrases in attribute.phrases(setting))


def _orderable(attribute: Attribute, setting: Setting) -> bool:
    return any(phrases.edit for phrases in attribute.phrases(setting))


def _state(kind: Kind, asked: Mapping[str, Setting]) -> _State:
    return _State(kind=kind, settings={**kind.defaults(), **asked}, listed=frozenset(asked))


def _render(state: _State) -> tuple[str, tuple[Span, ...]]:
    rendered = state.kind.render(state.settings, state.listed)
    return rendered.text, rendered.spans


def _earlier(kind: Kind, program: str, rng: random.Random) -> str:
    return earlier_answer(f"{rng.choice(kind.answers)}\n\n{_FENCE}{program}```")


def _one_file(asked: Mapping[str, Setting]) -> dict[str, Setting]:
    """The same without the wish for several files."""
    return {name: setting for name, setting in asked.items() if name != "files"}


def _answered(
    sample_type: str,
    state: _State,
    request: Request,
    asked: Mapping[str, Setting],
    messages: tuple[Message, ...],
    rng: random.Random,
    *,
    cut: bool = False,
    before: str = "",
    before_spans: tuple[Span, ...] = (),
) -> Sample:
    """The sample whose answer is a sentence and the whole program, or with `cut` only up to its first line."""
    program, spans = _render(state)
    head = f"{rng.choice(state.kind.answers)}\n\n{_FENCE}"
    shown = program[: program.index("\n") + 1] if cut else program
    moved = tuple((start + len(head), stop + len(head)) for start, stop in spans if stop <= len(shown))
    return Sample(
        type=sample_type,
        kind=state.kind.name,
        messages=messages,
        answer=head + shown + ("" if cut else "```"),
        spans=moved,
        ends=not cut,
        asked=asked,
        settings=state.settings,
        templates=request.templates,
        program=program,
        before=before,
        before_spans=before_spans,
    )
