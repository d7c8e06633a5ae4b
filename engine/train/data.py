"""From corpus samples to batches: token ids, loss weights, and documents packed without padding.

The corpus gives conversations with character spans; this turns them into `Document`s and fills `Batch`es of a
token budget. A batch is a function of (seed, first sample index), so training resumes from one integer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.train.kernels import Segment
from engine.train.network import Batch
from engine.train.projects import files_of
from engine.train.sample import Sample

PROMPT_WEIGHT = 0.05    # requests are worth little loss: just enough to learn how people write
CONTEXT_WEIGHT = 0.5    # the program a change is asked of: its code follows from its own first line
CONTEXT_ATTRIBUTE_WEIGHT = 2.0  # of that program, what its first line decides
ATTRIBUTE_WEIGHT = 4.0  # characters that depend on what was asked, the understood line among them
TALK_WEIGHT = 2.0       # of an answer without a program: few tokens that decide which answer it is
PROSE_WEIGHT = 1.5      # what is said before a program: which of several sentences it is can't be learnt
MASKED_TOKENS = 256    # documents up to half of this share an attention segment of this length


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One conversation as the model sees it: ids [n] and the loss weight of predicting each id [n].

    The first prompt_tokens ids are what the model is given, the others its answer.
    """

    ids: np.ndarray
    weights: np.ndarray
    kind: str
    type: str
    prompt_tokens: int


def encode_sample(tokenizer: Tokenizer, sample: Sample) -> Document:
    """Chat layout of a sample: earlier turns and headers at the prompt's weight, the answer at its own."""
    ids: list[int] = []
    weights: list[float] = []
    for message in sample.messages:
        role = message["role"]
        text = f"<|im_{role}|>{role}<|im_middle|>{message['content']}<|im_end|>"
        turn = tokenizer.encode(text, add_special_tokens=False)
        ids += turn.ids
        weights += _context_weights(turn.offsets, text, sample)
    header = tokenizer.encode("<|im_assistant|>assistant<|im_middle|>", add_special_tokens=False).ids
    ids += header
    weights += [PROMPT_WEIGHT] * len(header)
    prompt_tokens = len(ids)
    encoding = tokenizer.encode(sample.answer, add_special_tokens=False)
    ids += encoding.ids
    weights += _answer_weights(encoding.offsets, sample)
    if sample.ends:
        ids += tokenizer.encode("<|im_end|>", add_special_tokens=False).ids
        weights.append(1.0)
    return Document(ids=np.array(ids, np.int64), weights=np.array(weights, np.float32), kind=sample.kind,
                    type=sample.type, prompt_tokens=prompt_tokens)


def _context_weights(offsets: Sequence[tuple[int, int]], text: str, sample: Sample) -> list[float]:
    """The context's weights for the tokens of a program in a turn but for its first line, PROMPT_WEIGHT for others."""
    places = _file_places(sample.before, text)
    if not places or sample.type.endswith(("_part", "_by_hand")):  # which lines there are, or numbers, is chance
        return [PROMPT_WEIGHT] * len(offsets)
    first_line = len(sample.before.partition("\n")[0]) + 1
    code = [(there + max(0, first_line - start), there + length) for start, there, length in places]
    decided = [(there + begin - start, there + end - start) for start, there, length in places
               for begin, end in sample.before_spans if start <= begin and end <= start + length]
    return [
        PROMPT_WEIGHT if not is_code else CONTEXT_ATTRIBUTE_WEIGHT if is_decided else CONTEXT_WEIGHT
        for is_code, is_decided in zip(_overlaps(offsets, code), _overlaps(offsets, decided), strict=True)
    ]


def _file_places(program: str, text: str) -> list[tuple[int, int, int]]:
    """Where a turn has the files of a program, in its order: start in the program, start in the turn, length."""
    places, at = [], 0
    for content in files_of(program).values() if program else ():
        at = program.index(content, at)
        places.append((at, text.find(content), len(content)))
        at += len(content)
    return sorted((place for place in places if place[1] >= 0), key=lambda place: place[1])


def _answer_weights(offsets: Sequence[tuple[int, int]], sample: Sample) -> list[float]:
    """ATTRIBUTE_WEIGHT for tokens that overlap a span, 1 for other code, and for words by what they lead to."""
    fence = sample.answer.find("```")
    words = TALK_WEIGHT if fence < 0 else PROSE_WEIGHT
    return [
        ATTRIBUTE_WEIGHT if inside else words if fence < 0 or start < fence else 1.0
        for (start, _), inside in zip(offsets, _overlaps(offsets, sample.spans), strict=True)
    ]


def _overlaps(offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> list[bool]:
    """Which tokens, given by their offsets, overlap a span. Both lists are in order."""
    overlaps, index = [], 0
    for start, stop in offsets:
        while index < len(spans) and spans[index][1] <= start:
            index += 1
        overlaps.append(index < len(spans) and spans[index][0] < stop)
    return overlaps


def pack(documents: Sequence[Document], device: torch.device, dtype: torch.dtype) -> Batch:
    """Lay documents one behind another; short ones share masked segments, long ones have their own."""
    short = [document for document in documents if len(document.ids) - 1 <= MASKED_TOKENS // 2]
    long = [document for document in documents if len(document.ids) - 1 > MASKED_TOKENS // 2]
    groups: list[list[Document]] = [[document] for document in long]
    room = 0
    for document in short:
        length = len(document.ids) - 1
        if length > room:
            groups.append([])
            room = MASKED_TOKENS
        groups[-1].append(document)
        room -= length
    ordered = [document for group in groups for document in group]
    segments, start = [], 0
    for group in groups:
        lengths = [len(document.ids) - 1 for document in group]
        mask = block_mask(lengths, dtype).to(device) if len(group) > 1 else None
        segments.append(Segment(start, start + sum(lengths), mask))
        start += sum(lengths)
    positions = np.concatenate([np.arange(len(document.ids) - 1) for document in ordered])
    return Batch(
        tokens_T=torch.from_numpy(np.concatenate([document.ids[:-1] for document in ordered])).to(device),
        targets_T=torch.from_numpy(np.concatenate([document.ids[1:] for document in ordered])).to(device),
        positions_T=torch.from_numpy(positions).to(device),
        weights_T=torch.from_numpy(np.concatenate([document.weights[1:] for document in ordered])).to(device),
        segments=segments,
    )


def block_mask(lengths: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Additive mask [L, L] that is causal within each of several documents and closed between them."""
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    position = torch.arange(len(owner))
    open_LL = (owner[:, None] == owner[None, :]) & (position[:, None] >= position[None, :])
    return torch.zeros(open_LL.shape, dtype=dtype).masked_fill_(~open_LL, -torch.inf)


def fill(draw: Callable[[int], Document], index: int, budget: int, max_tokens: int) -> tuple[list[Document], int]:
    """Documents from `index` on that fit the budget, and the next index; ones over max_tokens are passed over."""
    documents: list[Document] = []
    total = 0
    while True:
        document = draw(index)
        length = len(document.ids) - 1
        if length <= min(max_tokens, budget):
            if total + length > budget:
                return documents, index
            documents.append(document)
            total += length
        index += 1
