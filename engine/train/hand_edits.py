"""Programs as a person leaves them who tried other numbers and colours by hand.

Trained on the corpus's own programs alone, a small model searches for the line it would have written itself. What an
edit block searches for has to be copied from the program that is there.
"""

import random
import re
from difflib import SequenceMatcher

_CHANGED_LINE_RATE = 0.6  # of lines the change is about: those the answer searches for
_OTHER_LINE_RATE = 0.06
_LITERAL = re.compile(r"(?<=#)[0-9a-f]{6}\b|(?<=\b0x)[0-9a-f]{6}\b|(?<![\w.#])\d+(?:\.\d+)?(?![\w.])")
_NOT_BY_HAND = re.compile(r"```|<!--|.*(://|\bimport\b|<script|=== )")


def with_hand_edits(before: str, after: str, rng: random.Random) -> tuple[str, str]:
    """Two versions of a program with some numbers and colours changed, in both where the change leaves them alone.

    At least one is, where there is any. Every line keeps its length, so that places in the text stay where they are.
    """
    old, new = before.split("\n"), after.split("\n")
    lines: dict[int, int | None] = {}  # with something to change, and where each is in the new version
    tried = []
    for tag, start, stop, new_start, new_stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        rate = _OTHER_LINE_RATE if tag == "equal" else _CHANGED_LINE_RATE
        pairs = new_stop - new_start == stop - start
        for index in range(start, stop):
            if not _NOT_BY_HAND.match(old[index]) and _LITERAL.search(old[index]):
                lines[index] = new_start + index - start if pairs else None
                tried += [index] * (rng.random() < rate)
    for index in tried or rng.sample(list(lines), min(1, len(lines))):
        span = rng.choice(list(_LITERAL.finditer(old[index]))).span()
        place = rng.choice([place for place in range(*span) if old[index][place] != "."])
        digit = rng.choice("123456789".replace(old[index][place], ""))
        other = lines[index]
        if other is not None:
            shift = _shift(old[index], new[other], span)
            new[other] = new[other] if shift is None else _with(new[other], place + shift, digit)
        old[index] = _with(old[index], place, digit)
    return "\n".join(old), "\n".join(new)


def _with(line: str, place: int, character: str) -> str:
    return line[:place] + character + line[place + 1 :]


def _shift(old: str, new: str, span: tuple[int, int]) -> int | None:
    """How far what stands at this span of one line has moved in the other; None where it is gone."""
    for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        if block.a < span[0] and span[1] < block.a + block.size:
            return block.b - block.a
    return None
