"""Probes of a program's source tell the settings of every attribute of every kind apart, and nothing else."""

import random
from collections.abc import Iterator

import pytest

from engine.train.corpus import CORPUS_FOLDER, random_setting
from engine.train.evaluate.source_probes import SourceProbes, variants
from engine.train.kinds import Kind, Setting, load_kinds

KINDS = load_kinds(CORPUS_FOLDER)


def states(kind: Kind, count: int) -> Iterator[dict[str, Setting]]:
    """Settings of a kind as requests ask for them."""
    rng = random.Random(kind.name)
    for _ in range(count):
        asked = rng.sample(list(kind.attributes), min(3, len(kind.attributes)))
        yield kind.defaults() | {name: random_setting(kind.attributes[name], rng, off_rate=0.3) for name in asked}


def body(program: str) -> str:
    return program.split("\n", 1)[1]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_corpus_s_own_program_is_right_and_every_other_setting_is_not(kind: Kind) -> None:
    probes = SourceProbes(kind)
    for settings in states(kind, 2):
        program = kind.render(settings).text
        for name, attribute in kind.attributes.items():
            assert probes.is_right(name, settings, program), name
            for other in variants(attribute, settings[name]):
                changed = kind.render({**settings, name: other}).text
                if body(changed) != body(program):  # islands lie in water, asked for or not
                    assert not probes.is_right(name, settings, changed), (name, other)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_other_attributes_do_does_not_count(kind: Kind) -> None:
    """But for the few attributes whose code is another where they meet."""
    probes, rng, right, total = SourceProbes(kind), random.Random(kind.name), 0, 0
    for settings in states(kind, 2):
        for name in kind.attributes:
            for other, attribute in kind.attributes.items():
                if other != name:
                    changed = {**settings, other: rng.choice(variants(attribute, settings[other]))}
                    right += probes.is_right(name, settings, kind.render(changed).text)
                    total += 1
    assert right >= 0.9 * total


def test_the_first_line_is_no_evidence_and_half_a_change_is_wrong() -> None:
    kind = KINDS["mountains"]
    probes, day = SourceProbes(kind), kind.defaults()
    night = {**day, "time": "night"}
    program = kind.render(night).text
    stated_only = program.split("\n", 1)[0] + "\n" + kind.render(day).text.split("\n", 1)[1]
    assert not probes.is_right("time", night, stated_only)
    lamp = kind.attributes["time"].fields["night"]["light"]
    assert not probes.is_right("time", night, program.replace(lamp, "0xffffff"))
    assert probes.is_right("time", night, program.replace("0x2f6b3c", "0x00ff00"))  # the trees' leaves: season's
    assert not probes.is_right("season", night, program.replace("0x2f6b3c", "0x00ff00"))
