"""Tokens longer than a word: merges learnt over whole lines of code, on top of a tokenizer that knows words.

Code repeats whole phrases (`new THREE.Mesh(`), and a small model spends as much on each token of them as on any other.
The idea is SuperBPE's (Liu et al. 2025, arXiv:2503.13423): words first, then merges across them. Here the second
part sees code only, so that what people write keeps its words.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from engine.train.sample import Sample

Pair = tuple[int, int]
LONGEST_PHRASE = 40  # characters


def code_pieces(sample: Sample) -> Iterable[str]:
    """Pieces of lines of a sample's program, its first line left out, cut where something depends on the request.

    A cut keeps what was asked (a colour, a word) a token of its own, as it is in the request.
    """
    program = sample.program
    start = sample.answer.find(program)
    if not program or start < 0:
        return
    stops = {start + index + 1 for index, character in enumerate(program) if character == "\n"}
    cuts = sorted(stops | {edge for span in sample.spans for edge in span} | {start + len(program)})
    first = start + program.index("\n") + 1
    for cut in cuts:
        if cut > first:
            yield sample.answer[first:cut]
            first = cut


def learn_phrases(pieces: Sequence[tuple[list[int], int]], texts: list[str], room: int) -> list[Pair]:
    """The merges, in order, that fill `room` new tokens: each time the most frequent pair of neighbours.

    `pieces` are token ids with how often they occur; `texts` holds each token's characters and grows by one for every
    merge, whose id is its place there. Digits and phrases over LONGEST_PHRASE never merge. Stops early where no pair
    occurs twice.
    """
    lines = [list(ids) for ids, _ in pieces]
    weights = [weight for _, weight in pieces]
    counts: Counter[Pair] = Counter()
    places: dict[Pair, set[int]] = defaultdict(set)
    for place, ids in enumerate(lines):
        _count(ids, weights[place], place, counts, places)
    merges: list[Pair] = []
    known = set(texts)
    while len(merges) < room:
        fit = [pair for pair, count in counts.items() if count > 1 and _may_merge(pair, texts, known)]
        if not fit:
            break
        best = max(fit, key=lambda pair: (counts[pair], -pair[0], -pair[1]))
        new = len(texts)
        texts.append(texts[best[0]] + texts[best[1]])
        known.add(texts[-1])
        merges.append(best)
        for place in sorted(places[best]):
            _count(lines[place], -weights[place], place, counts, places)
            lines[place] = _merged(lines[place], best, new)
            _count(lines[place], weights[place], place, counts, places)
    return merges


def _may_merge(pair: Pair, texts: Sequence[str], known: set[str]) -> bool:
    """Whether a pair may become a token: no digit in it, not too long, not there already."""
    text = texts[pair[0]] + texts[pair[1]]
    return len(text) <= LONGEST_PHRASE and text not in known and not any(character.isdigit() for character in text)


def _count(ids: Sequence[int], weight: int, place: int, counts: Counter[Pair], places: dict[Pair, set[int]]) -> None:
    """Add (or, with a negative weight, take away) a line's neighbours."""
    for pair in pairwise(ids):
        counts[pair] += weight
        if weight > 0:
            places[pair].add(place)


def _merged(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """A line with every occurrence of the pair, from the left, made one token."""
    result: list[int] = []
    index = 0
    while index < len(ids):
        if index + 1 < len(ids) and (ids[index], ids[index + 1]) == pair:
            result.append(new)
            index += 2
        else:
            result.append(ids[index])
            index += 1
    return result
