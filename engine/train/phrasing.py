"""Requests as people write them: fragments of kind files put together, polite or terse, with typos now and then.

Lives here: the wording of a request for given settings, and of an order to change some. Which settings are
asked for, and what is answered, is corpus.py's matter.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.train.kinds import Kind, Phrases, Setting
from engine.train.split import Split

TYPO_RATES: Mapping[Split, float] = {"held_out": 0.12, "train": 0.2}  # of requests with a word or two misspelt
OPENER_RATE = 0.25
NOUN_OPENER_RATE = 0.45
_OPENERS = (
    "please {r}",
    "hi, {r}",
    "hello! {r}",
    "hey, {r}",
    "ok, {r}",
    "{r}, please",
    "{r} please",
    "{r}, thanks",
    "{r} thank you",
    "{r}!",
    "{r}?",
    "{r} :)",
    "now {r}",
    "hi! {r}",
    "quick one: {r}",
)
_NOUN_OPENERS = (
    "make {r}",
    "make me {r}",
    "create {r}",
    "show me {r}",
    "I want {r}",
    "can you make {r}",
    "could you make {r}",
    "please make {r}",
    "build {r}",
    "I'd like {r}",
    "write {r}",
    "give me {r}",
    "let's have {r}",
    "generate {r}",
    "draw {r}",
    "design {r}",
    "code {r}",
    "program {r}",
    "render {r}",
    "let me see {r}",
    "I'd like to see {r}",
    "I want to see {r}",
    "can you show me {r}",
    "can you write {r}",
    "could you build {r}",
    "could you write {r}",
    "I need {r}",
    "a page with {r}",
    "write a web page with {r}",
    "write a page that shows {r}",
    "an animation of {r}",
    "visualize {r}",
    "hi! could you do this: {r}",
    "i'd like this: {r}",
    "what about {r}",
)
EDIT_FRAMES = (
    "{e}",
    "{e}",
    "{e}",
    "please {e}",
    "{e} please",
    "can you {e}",
    "can you {e}?",
    "could you {e}?",
    "could you please {e}",
    "now {e}",
    "{e}, please",
    "ok, {e}",
    "great, now {e}",
    "nice! {e}",
    "I'd like you to {e}",
    "would you {e}?",
    "{e} thanks",
    "hmm, {e}",
    "next, {e}",
    "looks good, but {e}",
    "{e}!",
    "and {e}",
    "also {e}",
    "lovely. {e}",
    "cool, now {e}",
    "thanks! now please {e}",
    "one more thing: {e}",
    "just {e}",
    "let's {e}",
    "I want you to {e}",
    "perfect, but {e}",
    "then {e}",
    "change this: {e}",
    "I'd like to {e}",
    "good. {e}",
    "good, but {e}",
    "very nice, but {e}",
    "nice, now {e}",
    "almost: {e}",
    "not bad. now {e}",
    "hey, {e}",
    "sorry, {e}",
    "actually, {e}",
    "hm, rather {e}",
    "could we {e}?",
    "can we {e}?",
    "you could {e}",
    "try this: {e}",
    "and now {e}",
    "now, please {e}",
    "{e} if you can",
    "{e} and that's it",
    "{e}, thank you",
    "{e} this time",
    "one change: {e}",
    "it's good, just {e}",
    "what if you {e}?",
    "what would happen if you {e}?",
    "how about you {e}?",
    "why don't you {e}?",
    "what about this: {e}",
    "would it be possible to {e}?",
    "what happens when you {e}?",
    "would it be hard to {e}?",
    "if you could {e}",
    "is it better if you {e}?",
    "if I were you I would {e}",
    "it would be nice if you {e}",
    "are you able to {e}?",
    "I want to {e}",
    "we should {e}",
    "what if I {e}?",
    "what happens if I {e}?",
    "what would it look like if you {e}?",
    "how would it look if you {e}?",
    "what would change if you {e}?",
    "you should {e}",
    "you might {e}",
    "maybe {e}",
    "perhaps {e}",
    "maybe you can {e}",
    "perhaps you should {e}",
    "next you {e}",
    "I think you should {e}",
    "I would {e}",
    "it works, but {e}",
    "looks great, now {e}",
    "looks nice, but {e}",
    "looking good, but {e}",
    "well done, now {e}",
    "wow, now {e}",
    "that looks good, now {e}",
    "I like it, but {e}",
    "if possible {e}",
    "suppose you {e}",
    "let me see what happens if you {e}",
    "can you see what happens if you {e}?",
    "what do you think if you {e}?",
    "would it be nicer if you {e}?",
    "is it possible that you {e}?",
    "how does it look when you {e}?",
    "what would happen if we {e}?",
    "what could happen if you {e}?",
    "what if I were to {e}?",
    "what if you were to {e}?",
    "what about if you {e}?",
    "what would happen if I {e}?",
    "what will happen if you {e}?",
    "what would you get if you {e}?",
    "if you {e}, what happens?",
    "we could {e}",
    "one could {e}",
    "I could {e}",
    "you must {e}",
    "you need to {e}",
    "you ought to {e}",
    "I wish you would {e}",
    "looks fine, but {e}",
    "looks right, but {e}",
    "sounds good, but {e}",
)
NOISY_EDIT_FRAMES = (  # with words nobody knows: an order is to be found in whatever stands around it
    "{word} {e}",
    "{word}, {e}",
    "{word} {word} {e}",
    "{word} {word} {word} {e}",
    "{word} you {e}?",
    "{word} {word} you {word} {e}",
    "{e} {word}",
)
_FRAME_WANTS_A_VERB = re.compile(r"\b(you|to|we|could|should|would|can|might|let's|if I)( please)? \{e\}")
_STARTS_WITHOUT_A_VERB = re.compile(  # "a red ship please", "no fog", "the ship should be red", "I want 3 tries"
    r"(an?|the|no|I|just|only|one|two|four|five|more|many|less|far|fewer|don't|hitting|\d+|red|orange|yellow|green|blue"
    r"|purple|pink|white|medium)\b"
)
_VERBS = frozenset(
    (
        "make",
        "show",
        "draw",
        "create",
        "give",
        "build",
        "render",
        "generate",
        "design",
        "write",
        "let",
        "want",
        "could",
        "can",
        "i'd",
        "i",
        "please",
        "display",
        "produce",
        "set",
        "code",
        "put",
        "simulate",
        "animate",
        "plot",
        "visualise",
        "visualize",
        "let's",
        "program",
        "play",
    )
)
_ONSETS = ("b", "br", "c", "ch", "d", "f", "fl", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s", "sh",
           "st", "t", "th", "tr", "v", "w", "z")
_CODAS = ("", "", "n", "m", "r", "l", "s", "x", "ck", "th", "rd", "nt", "ing", "er")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request's text and the ids of the templates it was made from."""

    text: str
    templates: tuple[str, ...]


def compose_request(
    kind: Kind, template: str, asked: Mapping[str, Setting], typo_rate: float, rng: random.Random
) -> Request:
    """A request for a new program of this kind with these settings, worded around one of its prompts."""
    adjectives, withs, posts, orders = _place(kind, asked, room="{adj}" in template, rng=rng)
    text = _with_adjectives(template, adjectives)
    if rng.random() < 0.15 and not adjectives and not posts and not orders:
        text = ", ".join([text, *withs])
    elif rng.random() < 0.5:
        text = " ".join([_join_withs(text, withs, rng), *posts])
    else:
        text = _join_withs(" ".join([text, *posts]), withs, rng)
    is_noun = text.split(" ", 1)[0].lower() not in _VERBS
    text = with_opener(text, rng, noun_rate=NOUN_OPENER_RATE if is_noun else 0.0)
    text = _with_orders(text, orders, rng)
    return Request(text=_as_typed(text, typo_rate, rng), templates=(f"{kind.name}/{template}",))


def compose_edit(
    kind: Kind, frame: str, changes: Mapping[str, Setting], typo_rate: float, rng: random.Random
) -> Request:
    """An order that changes some settings of a program that is there, as the frame takes it ("can you {e}")."""
    orders = []
    for name, setting in changes.items():
        wordings = _all(kind, name, setting, "edit")
        if wants_a_verb(frame):
            wordings = [text for text in wordings if not _STARTS_WITHOUT_A_VERB.match(text)] or wordings
        orders.append(rng.choice(wordings))
    rng.shuffle(orders)
    text = re.sub(r"\{word\}", lambda _: made_up_word(rng), frame)
    text = text.replace("{e}", join_words(orders, rng.choice((" and ", " and ", ", ", ", and ", " and then "))))
    return Request(text=_as_typed(text, typo_rate, rng), templates=(f"edit/{frame}",))


def wants_a_verb(frame: str) -> bool:
    """Whether what the frame of an order goes around begins with a verb, as in "can you {e}"."""
    return bool(_FRAME_WANTS_A_VERB.search(frame))


def with_opener(text: str, rng: random.Random, *, noun_rate: float) -> str:
    """The text with a verb for a noun ("make me a lake") at this rate, and with some words around it at OPENER_RATE."""
    if noun_rate and rng.random() < noun_rate:
        text = rng.choice(_NOUN_OPENERS).replace("{r}", text)
    return rng.choice(_OPENERS).replace("{r}", text) if rng.random() < OPENER_RATE else text


def join_words(words: Sequence[str], last: str = " and ") -> str:
    """ "a, b and c"."""
    return ", ".join(words[:-1]) + last + words[-1] if len(words) > 1 else words[0]


def _all(kind: Kind, name: str, setting: Setting, place: str) -> list[str]:
    sets = kind.attributes[name].phrases(setting)
    if len(sets) > 1:  # words of a single number ("a few trees") are as frequent as the number itself
        sets = sorted(sets, key=lambda phrases: len(_get(phrases, place)))
        most = max(len(_get(phrases, place)) for phrases in sets)
        return [text for phrases in sets for text in (_get(phrases, place) * most)[:most]]
    return list(_get(sets[0], place))


def _get(phrases: Phrases, place: str) -> tuple[str, ...]:
    return {"adj": phrases.adj, "with": phrases.with_, "post": phrases.post, "edit": phrases.edit}[place]


def _place(
    kind: Kind, asked: Mapping[str, Setting], *, room: bool, rng: random.Random
) -> tuple[list[str], list[str], list[str], list[str]]:
    """Gives every asked setting one fragment and its place: adjectives, after "with", after the noun, orders."""
    placed: dict[str, list[str]] = {"adj": [], "with": [], "post": [], "edit": []}
    names = list(asked)
    rng.shuffle(names)
    for name in names:
        wishes = {"with": 3.0, "post": 2.0, "edit": 0.6, "adj": 3.0 if room and len(placed["adj"]) < 2 else 0.0}
        usable = {place: weight for place, weight in wishes.items() if weight and _all(kind, name, asked[name], place)}
        place = rng.choices(list(usable), list(usable.values()))[0]
        placed[place].append(rng.choice(_all(kind, name, asked[name], place)))
    return placed["adj"], placed["with"], placed["post"], placed["edit"]


def _with_adjectives(template: str, adjectives: Sequence[str]) -> str:
    filled = template.replace("{adj} ", " ".join([*adjectives, ""])) if adjectives else template.replace("{adj} ", "")
    filled = re.sub(r"\ba (?=[aeiou])", "a" + "n ", filled)
    return re.sub(r"\ban (?=[^aeiou\W])", "a ", filled)


def _join_withs(text: str, withs: Sequence[str], rng: random.Random) -> str:
    if not withs:
        return text
    has = " that has " if re.search(r"\b(an?|the)\b", text) else " that have "  # "fireworks that have"
    word = rng.choice((" with ", " with ", " with ", ", with ", has)) if " with " not in text else " and "
    return text + word + join_words(withs, rng.choice((" and ", " and ", ", ", " & ", " and also ")))


def _with_orders(text: str, orders: Sequence[str], rng: random.Random) -> str:
    if not orders:
        return text
    if rng.random() < 0.4:
        return text + rng.choice((", and ", " and ", ", ")) + join_words(orders)
    text = text if text[-1] in "!?)" else text + "."
    return text + " " + " ".join(order[0].upper() + order[1:] + "." for order in orders)


def _as_typed(text: str, typo_rate: float, rng: random.Random) -> str:
    """Capital letters, full stops and typos as they come."""
    roll = rng.random()
    if roll < 0.5:
        text = text[0].upper() + text[1:]
    elif roll < 0.75:
        text = text.lower()
    text = with_full_stop(text, rng)
    return with_typo(text, rng) if rng.random() < typo_rate else text


def with_full_stop(text: str, rng: random.Random) -> str:
    """The text as a sentence, now and then."""
    return text + "." if rng.random() < 0.25 and text[-1] not in ".!?)" else text


def with_typo(text: str, rng: random.Random) -> str:
    """One or two words with a letter swapped, dropped or doubled; never in a number."""
    words = text.split(" ")
    for _ in range(rng.choice((1, 1, 2))):
        index = rng.randrange(len(words))
        word = words[index]
        if len(word) < 4 or not word.isalpha():
            continue
        at = rng.randrange(1, len(word) - 2)
        change = rng.choice(("swap", "drop", "double"))
        if change == "swap":
            words[index] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif change == "drop":
            words[index] = word[:at] + word[at + 1 :]
        else:
            words[index] = word[:at] + word[at] + word[at:]
    return " ".join(words)


def made_up_word(rng: random.Random) -> str:
    """A word of two or three syllables that means nothing, as names and strange things look to a small model."""
    syllables = (rng.choice(_ONSETS) + rng.choice("aeiou") for _ in range(rng.choice((2, 2, 3))))
    word = "".join(syllables) + rng.choice(_CODAS)
    return word.capitalize() if rng.random() < 0.3 else word
