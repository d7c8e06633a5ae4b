"""Judging: held-out requests, answers right and wrong, facts of pages, and the figures that come of them."""

import random
from typing import Any

import pytest

from engine.train.card import card
from engine.train.corpus import Corpus
from engine.train.evaluate.items import SHARES, Item, held_out_items
from engine.train.evaluate.judge import program_record, talk_record, written
from engine.train.evaluate.page_probes import agree, attribute_pages, differing, facts_of, is_shown
from engine.train.evaluate.source_probes import SourceProbes
from engine.train.evaluate.summary import below_aims, by_kind, summarise
from engine.train.projects import files_of
from engine.train.split import is_held_out

NAMES = ("mountains", "snake")
CORPUS = Corpus(1, "held_out", kinds=NAMES)
ITEMS = held_out_items(NAMES, 80, 1)
RUN = {"steps": 1000, "tokens": 5_000_000, "minutes": 60, "device": "a CPU", "kinds": NAMES,
       "parameters": 20_544_512, "active_parameters": 5_200_000, "load": [1.25, 1.5],
       "shares": [0.75, 0.25]}


def item_of(sample_type: str, asks: int = 0) -> Item:
    return next(item for item in ITEMS if item.sample.type == sample_type and len(item.sample.asked) >= asks)


def judged(item: Item, text: str, report: dict[str, Any] | None = None) -> dict[str, Any]:
    kind = CORPUS.kinds[item.sample.kind]
    made = written(item, text, kind, SourceProbes(kind))
    return program_record(item, made, report, page() if report else None, ["keys"], {"time": frozenset({"color.0"})})


def page(**changes: Any) -> dict[str, Any]:
    return {"ok": True, "blank": False, "moved": True, "reacted_to": ["keys"], "errors": [], "page": {},
            "scene": {"meshes": 2, "geometries": {"SphereGeometry": 1}}, "colors": [[10, 20, 30]], **changes}


def test_requests_are_held_out_repeatable_and_of_all_types_and_kinds() -> None:
    assert [item.key for item in ITEMS] == [item.key for item in held_out_items(NAMES, 80, 1)]
    assert len({item.key for item in ITEMS}) == len(ITEMS) >= 80
    assert {item.sample.type for item in ITEMS} == set(SHARES)
    created = [item.sample.kind for item in ITEMS if item.sample.type == "create"]
    assert created.count("snake") == created.count("mountains")
    assert all(is_held_out(template) for item in ITEMS for template in item.sample.templates
               if item.sample.type in {"create", "switch"})
    assert "```" not in item_of("edit").request


def test_a_kind_s_requests_stay_when_other_kinds_come_in() -> None:
    more = held_out_items((*NAMES, "balls"), 80, 1)
    for sample_type in ("create", "edit", "fix"):
        before = [item.key for item in ITEMS if (item.sample.type, item.sample.kind) == (sample_type, "snake")]
        after = [item.key for item in more if (item.sample.type, item.sample.kind) == (sample_type, "snake")]
        assert after
        assert before[: len(after)] == after


def test_a_project_of_several_files_is_read_whole() -> None:
    corpus, rng = Corpus(1, "held_out", kinds=("blockworld",)), random.Random(3)
    samples = (corpus.sample_of("edit", rng, "blockworld") for _ in range(200))
    sample = next(sample for sample in samples if sample.settings["files"] and len(sample.asked) == 1)
    kind = corpus.kinds["blockworld"]
    item, probes = Item(key="", sample=sample), SourceProbes(kind)
    made = written(item, sample.answer, kind, probes)
    assert made.exact
    assert made.follows
    assert files_of(made.program) == files_of(sample.program)
    first = sample.answer[: sample.answer.index("```edit")] + "\n".join(
        ["```edit index.html", *sample.answer.split("```edit index.html\n")[1].split("\n```")[0].split("\n"), "```"])
    only_line = written(item, first, kind, probes)  # the first line says it, the code in the other file does not
    assert only_line.applied
    assert not only_line.follows


@pytest.mark.parametrize("sample_type", ["create", "switch", "edit", "fix"])
def test_the_corpus_s_answer_is_right_in_everything(sample_type: str) -> None:
    item = item_of(sample_type)
    record = judged(item, item.sample.answer)
    assert record["applied"]
    assert record["follows"]
    assert record["exact"]
    assert all(each["stated"] and each["in_source"] for each in record["asked"])


def test_a_program_for_other_settings_is_right_in_kind_only() -> None:
    item = next(item for item in ITEMS if item.sample.type == "create"
                and item.sample.settings != CORPUS.kinds[item.sample.kind].defaults())
    kind = CORPUS.kinds[item.sample.kind]
    plain = "```html index.html\n" + kind.render(kind.defaults()).text + "```"
    record = judged(item, plain)
    assert record["right_kind"]
    assert not record["exact"]
    assert not record["follows"]


def test_an_edit_that_changes_something_else_as_well_is_not_right() -> None:
    item = item_of("edit")
    kind = CORPUS.kinds[item.sample.kind]
    name, attribute = next((name, attribute) for name, attribute in kind.attributes.items()
                           if name not in item.sample.asked and attribute.type == "choice")
    other = next(value for value in attribute.values if value != item.sample.settings[name])
    program = kind.render({**item.sample.settings, name: other}, list(item.sample.settings)).text
    record = judged(item, f"```html index.html\n{program}```")
    assert all(each["in_source"] for each in record["asked"])
    assert not record["follows"]


def test_no_program_is_not_applied() -> None:
    assert not judged(item_of("create"), "Here you are.")["applied"]


def test_declining_needs_the_words_and_no_program() -> None:
    item = item_of("decline")
    assert talk_record(item, item.sample.answer, CORPUS)["right"]
    assert not talk_record(item, "Paris.", CORPUS)["right"]
    assert not talk_record(item, item.sample.answer + "\n\n```html index.html\n<p>x</p>\n```", CORPUS)["quiet"]


def test_facts_agree_to_the_eye() -> None:
    assert agree(100, 101)
    assert not agree(100, 110)
    assert agree((10, 20, 30), (15, 20, 30))
    assert not agree((10, 20, 30), (10, 60, 30))
    other = page(scene={"meshes": 3, "geometries": {"SphereGeometry": 1}}, colors=[[10, 90, 30]])
    assert differing(facts_of(page()), facts_of(other)) == {"scene.meshes", "color.0"}
    assert is_shown(frozenset({"scene.geometries.SphereGeometry"}), page(), other)
    assert not is_shown(frozenset({"color.0"}), page(), other)


def test_every_attribute_has_pages_that_differ() -> None:
    for programs in attribute_pages(CORPUS.kinds["snake"]).values():
        assert len(set(programs)) == len(programs) >= 2


def test_figures_count_what_they_say() -> None:
    good, bad = item_of("create"), item_of("edit")
    records = [judged(good, good.sample.answer, page()),
               judged(bad, "no", page(ok=False, blank=True, moved=False, reacted_to=[], errors=[{"message": "x"}])),
               talk_record(item_of("decline"), "Paris.", CORPUS)]
    figures = summarise(records)
    assert figures["clean"] == {"share": 0.5, "of": 2}
    assert figures["edits_applied"] == {"share": 0.0, "of": 1}
    assert figures["declined"] == {"share": 0.0, "of": 1}
    assert figures["reacts"] == {"share": 0.5, "of": 2}
    assert "chat_right" not in figures
    kinds = by_kind(records)
    assert "edits_applied" in below_aims(kinds)[bad.sample.kind]
    text = card(RUN, {"greedy": figures, "kinds": kinds, "below_aims": below_aims(kinds),
                      "far_below_aims": {"island": ["clean"]}})
    assert "| pages that ran clean (no error, nothing refused, not blank) | 50% (2) |  |  | 97% |" in text
    assert f"Below an aim: {', '.join(below_aims(kinds))}.\nBy more than so few" in text
    assert "(p < 0.05): island." in text
    assert "language model of 20.5M parameters (5.2M active per token)" in text
    assert "1,000 steps, 5.0 million tokens, 60 minutes on a CPU." in text
    assert "busiest expert of each layer had 1.2, 1.5 times the mean load" in text
    assert "a mean of 2 states of the training: 75% and 25%." in text
    assert "a mean of" not in card({**RUN, "shares": []}, None)


def test_a_card_does_not_round_a_rate_up_to_what_it_is_short_of() -> None:
    shares = {"declined": (0.975, 120), "clean": (0.975, 320), "drew": (0.996, 320)}
    rates = {name: {"share": share, "of": of} for name, (share, of) in shares.items()}
    text = card(RUN, {"greedy": rates, "kinds": {}, "below_aims": {}})
    assert "| outside requests declined | 97.5% (120) |  |  | 98% |" in text
    assert "| 98% (320) |  |  | 97% |" in text
    assert "| pages that drew something | 99.6% (320) |" in text


@pytest.mark.parametrize(("right", "of", "far"), [(12, 13, False), (10, 13, True), (8, 8, False), (280, 300, True)])
def test_a_kind_is_far_below_an_aim_where_chance_seldom_goes_so_far(right: int, of: int, far: bool) -> None:
    kinds = {"island": {"clean": {"share": round(right / of, 4), "of": of}}}
    assert below_aims(kinds, 0.05) == ({"island": ["clean"]} if far else {})
    assert bool(below_aims(kinds)) == (right < of)
