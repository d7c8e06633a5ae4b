"""The text side of one generated answer: detokenising, stop strings, token positions, and what may be sent.

Text that may be the beginning of a stop string is held back. Tokens become trace rows once their text is out and
their routing is known (one step after they were sampled). Knows nothing of models or batches.
"""

from collections.abc import Sequence
from dataclasses import replace

from engine.events import Delta, GenerateRequest, TokenScore, TraceChunk
from engine.sampling import Sampled
from engine.tokenizer import ChatTokenizer, Detokenizer
from engine.trace import RoutingBlock, TraceToken, concatenate, slice_rows


class AnswerText:
    """Grows token by token. `text` counts from the start of the answer, continued tokens included."""

    def __init__(self, request: GenerateRequest, tokenizer: ChatTokenizer | None) -> None:
        self._stop = request.stop
        self._tokenizer = tokenizer
        self._stream = None if tokenizer is None else Detokenizer(tokenizer)
        self._text = ""
        self._sent = 0
        self._cut: int | None = None
        self._scores: list[TokenScore] = []
        self._waiting: list[TraceToken] = []
        self._blocks: list[RoutingBlock] = []
        self.given = [self._place(token, None) for token in request.continue_ids]
        self._sent = len(self._text)

    def add(self, sampled: Sampled, *, ends: bool) -> bool:
        """Take in a sampled token; tell whether the text met a stop string. An end token adds no text."""
        token = sampled.token_id
        self._scores.append(TokenScore(
            token_id=token, text=self._token_text(token), logprob=sampled.logprob,
            top=tuple((other, self._token_text(other), logprob) for other, logprob in sampled.top)))
        if ends:
            self._waiting.append(TraceToken(id=token, text=self._token_text(token), phase="decode",
                                            logprob=sampled.logprob))
            return False
        before = len(self._text)
        self._waiting.append(self._place(token, sampled.logprob))
        return self._meets_stop(before)

    def finish(self) -> None:
        """Let go of held-back text: no more tokens come. After this, `delta` gives the rest."""
        if self._stream is not None and self._cut is None:
            self._text += self._stream.finish()
        if self._cut is not None:
            self._text = self._text[: self._cut]
            self._waiting = [_clamped(token, self._cut) for token in self._waiting]
        self._stop = ()

    def add_rows(self, block: RoutingBlock) -> None:
        """Give the routing of the oldest tokens that have none yet."""
        self._blocks.append(block)

    def delta(self, *, routed: bool) -> Delta | None:
        """Collect what can be sent now, or None. With `routed`, tokens wait for their routing rows."""
        safe = len(self._text) - self._held_back()
        text = self._text[self._sent:safe]
        self._sent = max(self._sent, safe)
        scores, self._scores = tuple(self._scores), []
        chunks = self._ready_chunks() if routed else ()
        return Delta(text=text, scores=scores, chunks=chunks) if text or scores or chunks else None

    def rest(self) -> TraceChunk | None:
        """Give the tokens whose routing will never be known, at the end of a routed answer."""
        waiting, self._waiting = tuple(self._waiting), []
        return TraceChunk(phase="decode", tokens=waiting, block=None) if waiting else None

    def _ready_chunks(self) -> tuple[TraceChunk, ...]:
        if not self._blocks:
            return ()
        block = concatenate(self._blocks)
        ready = 0
        while ready < min(len(block), len(self._waiting)) and (self._waiting[ready].end or 0) <= self._sent:
            ready += 1
        if not ready:
            return ()
        tokens, self._waiting = tuple(self._waiting[:ready]), self._waiting[ready:]
        self._blocks = [slice_rows(block, ready, len(block))] if ready < len(block) else []
        return (TraceChunk(phase="decode", tokens=tokens, block=slice_rows(block, 0, ready)),)

    def _place(self, token: int, logprob: float | None) -> TraceToken:
        """Append a token's text and give the token with its place."""
        piece = "" if self._stream is None else self._stream.push(token)
        start = len(self._text)
        self._text += piece
        return TraceToken(id=token, text=piece, phase="prefill" if logprob is None else "decode", logprob=logprob,
                          start=start, end=len(self._text))

    def _token_text(self, token: int) -> str:
        return "" if self._tokenizer is None else self._tokenizer.token_text(token)

    def _meets_stop(self, before: int) -> bool:
        if not self._stop:
            return False
        first = max(self._sent, before - max(map(len, self._stop)) + 1)
        found = [place for stop in self._stop if (place := self._text.find(stop, first)) >= 0]
        self._cut = min(found, default=None)
        return bool(found)

    def _held_back(self) -> int:
        """Count the last characters that may be the beginning of a stop string."""
        if self._cut is not None:
            return max(0, len(self._text) - self._cut)
        longest = 0
        for stop in self._stop:
            for size in range(min(len(stop) - 1, len(self._text) - self._sent), longest, -1):
                if self._text.endswith(stop[:size]):
                    longest = size
                    break
        return longest


def _clamped(token: TraceToken, cut: int) -> TraceToken:
    if token.start is None or token.end is None or token.end <= cut:
        return token
    start = min(token.start, cut)
    return replace(token, start=start, end=cut, text=token.text[: cut - start])


def prompt_tokens(request: GenerateRequest, tokenizer: ChatTokenizer | None,
                  given: Sequence[TraceToken]) -> list[TraceToken]:
    """Describe every token that is fed before the first is sampled."""
    if tokenizer is None:
        return [TraceToken(id=token, text="", phase="prefill") for token in request.prompt.ids] + list(given)
    return tokenizer.trace_tokens(request.prompt) + list(given)
