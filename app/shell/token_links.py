"""Between the text of an answer and the tokens of its trace: which tokens wrote these code points, and back."""

from collections.abc import Sequence

from app.core.token_places import AnswerToken


def tokens_of_range(tokens: Sequence[AnswerToken], start: int, end: int) -> tuple[int, int] | None:
    """First and last index of the answer's tokens that overlap start..end; a bare place (start == end) counts."""
    first = last = -1
    for index, token in enumerate(tokens):
        if token.phase != "decode" or token.start is None or token.end is None:
            continue
        if token.start < max(end, start + 1) and token.end > start:
            first = index if first < 0 else first
            last = index
        elif first >= 0:
            break
    return (first, last) if first >= 0 else None


def range_of_tokens(tokens: Sequence[AnswerToken], first: int, last: int) -> tuple[int, int] | None:
    """The code points that the answer's tokens first..last wrote; None for tokens of the prompt."""
    placed = [
        (token.start, token.end)
        for token in tokens[first : last + 1]
        if token.phase == "decode" and token.start is not None and token.end is not None
    ]
    return (placed[0][0], placed[-1][1]) if placed else None
