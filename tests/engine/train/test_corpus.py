"""The corpus: repeatable, split by wording and combination, marked where it depends on requests, edits that apply."""

import random
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from engine.artifacts import apply_answer, understood
from engine.train.corpus import CORPUS_FOLDER, SAMPLE_TYPES, Corpus, combination, random_setting
from engine.train.edit_blocks import diff_parts, near_changes
from engine.train.kinds import load_kinds, mark_branches, strip_sentinels
from engine.train.phrasing import compose_edit, compose_request, wants_a_verb, with_opener, with_typo
from engine.train.projects import files_of, text_of
from engine.train.split import is_held_out

KINDS = load_kinds(CORPUS_FOLDER)


@pytest.fixture(scope="module")
def train() -> Corpus:
    return Corpus(3, "train", kinds=tuple(KINDS))


@pytest.fixture(scope="module")
def held_out() -> Corpus:
    return Corpus(3, "held_out", kinds=tuple(KINDS))


def test_samples_depend_on_seed_and_index_alone(train: Corpus) -> None:
    again = Corpus(3, "train", kinds=tuple(KINDS))
    assert [train.sample(index) for index in (7, 0, 39)] == [again.sample(index) for index in (7, 0, 39)]
    other = Corpus(4, "train", kinds=tuple(KINDS))
    assert [train.sample(index) for index in range(20)] != [other.sample(index) for index in range(20)]


def test_the_mixture_decides_which_types_come() -> None:
    corpus = Corpus(0, "train", kinds=("balls", "snake"))
    assert {corpus.sample(index).type for index in range(300)} == set(SAMPLE_TYPES)
    assert {corpus.sample(index, "short").type for index in range(300)} == {
        "create",
        "understood",
        "chat",
        "decline",
    }
    with pytest.raises(ValueError, match="has no stage 'long'; it has short, full"):
        corpus.sample(0, "long")


def test_a_corpus_keeps_to_the_kinds_named() -> None:
    corpus = Corpus(0, "train", kinds=("balls", "snake"))
    programs = [sample for sample in map(corpus.sample, range(60)) if sample.type == "create"]
    assert {sample.kind for sample in programs} == {"balls", "snake"}
    with pytest.raises(ValueError, match=r"no kind moon; there are .*balls"):
        Corpus(0, "train", kinds=("moon",))


def test_spans_lie_in_order_inside_the_answer(train: Corpus) -> None:
    for index in range(200):
        sample = train.sample(index)
        edges = [edge for span in sample.spans for edge in span]
        assert all(start <= stop for start, stop in pairwise(edges))
        assert not edges or (edges[0] >= 0 and edges[-1] <= len(sample.answer))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_renders_what_its_settings_say(kind) -> None:
    rng = random.Random(1)
    for _ in range(50):
        settings = {name: random_setting(attribute, rng, off_rate=0.5) for name, attribute in kind.attributes.items()}
        program = kind.render(settings, list(settings)).text
        line = understood(program)
        assert line is not None
        assert line.kind == kind.name
        assert line.chips == tuple(
            kind.attributes[name].chip(value) for name, value in settings.items() if value is not False
        )
        assert "{{" not in program
        assert "{%" not in program
        assert "\n\n\n" not in program
        assert program.isascii()
        assert files_of(program)["index.html"].rstrip().endswith("</html>")
        assert program.endswith("\n")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_attribute_changes_the_program_and_can_be_asked_for(kind) -> None:
    rng = random.Random(2)
    base = kind.defaults()
    for name, attribute in kind.attributes.items():
        settings = {random_setting(attribute, rng, off_rate=0) for _ in range(60)} - {attribute.default}
        bodies = {kind.render({**base, name: value}).text.split("\n", 1)[1] for value in settings}
        assert len(bodies) == len(settings)
        for value in settings | {attribute.default}:
            phrases = attribute.phrases(value)
            assert any(words.edit for words in phrases) or name == "files", (name, value)
            assert attribute.say(value)
    assert len(kind.prompts) >= 25


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_differs_between_two_settings_lies_in_the_spans(kind) -> None:
    """Outside the spans two programs have the same lines, but for the ones a branch brings in or leaves out."""
    for name, attribute in kind.attributes.items():
        if attribute.type != "choice":
            continue
        programs = [kind.render({**kind.defaults(), name: value}) for value in attribute.values]
        bare = []
        for program in programs:
            text = list(program.text)
            for start, stop in program.spans:
                text[start:stop] = " " * (stop - start)
            bare.append("".join(text).split())
        shared = set(bare[0]).intersection(*bare[1:])
        assert len(shared) > 30


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_held_out_prompt_is_no_prompt_of_training_with_another_article(kind) -> None:
    def bare(prompt: str) -> str:
        return re.sub(r"^(an?|the) ", "", prompt.lower().replace("{adj} ", ""))

    prompts = {*kind.prompts, *kind.telling_prompts}
    held_out = {prompt for prompt in prompts if is_held_out(f"{kind.name}/{prompt}")}
    assert held_out
    assert not {bare(prompt) for prompt in held_out} & {bare(prompt) for prompt in prompts - held_out}


def test_a_prompt_that_tells_a_setting_comes_with_that_setting_alone(train: Corpus) -> None:
    """Nothing else is said about it: "a school of fish drawn as dots" would be no request to learn from."""
    kind, rng, seen = KINDS["boids"], random.Random(9), 0
    dots = {words for phrases in kind.attributes["shape"].phrases("dot") for words in (*phrases.with_, *phrases.post)}
    for _ in range(600):
        sample = train.sample_of("understood", rng, "boids")
        (template,) = sample.templates
        if told := kind.telling_prompts.get(template.removeprefix("boids/")):
            seen += 1
            assert told.items() <= sample.settings.items()
            assert not any(words in sample.messages[-1]["content"] for words in dots)
    assert seen > 5


def test_spans_are_the_values_and_the_first_lines_of_branches() -> None:
    source = "{% if a %}\n  one({{ '\ue000x\ue001' }});\n  two();\n{% else %}\n  three();\n{% endif %}\nfour();\n"
    marked = mark_branches(source)
    assert marked == (
        "{% if a %}\n\ue000  one({{ '\ue000x\ue001' }});\ue001\n  two();\n{% else %}\n\ue000  three();\ue001\n"
        "{% endif %}\n\ue000four();\ue001\n"
    )
    plain = strip_sentinels("a\ue000b\ue000c\ue001\ue001d\ue000\ue001e")
    assert (plain.text, plain.spans) == ("abcde", ((1, 3), (4, 5)))
    assert strip_sentinels("a\ue000\ue001\ue000bc\ue001d").spans == ((1, 3),)


def test_requests_of_training_name_more_settings(train: Corpus, held_out: Corpus) -> None:
    def named(corpus: Corpus) -> int:
        rng = random.Random(8)
        return sum(len(corpus.sample_of("understood", rng).asked) for _ in range(300))

    assert named(train) > 1.15 * named(held_out)


def test_what_one_is_asked_to_do_is_a_verb() -> None:
    """"Could you a red ship please" is what nobody writes."""
    kind, rng, orders = KINDS["asteroids"], random.Random(3), []
    for frame in ("could you {e}", "{e}"):
        texts = [compose_edit(kind, frame, {"ship": "red"}, 0.0, rng).text.lower().rstrip(".") for _ in range(200)]
        orders.append({text.removeprefix("could you ") for text in texts})
    assert "a red ship please" not in orders[0]
    assert orders[1] - orders[0] == {"a red ship please", "the ship should be red"}


def test_an_edit_understood_rewrites_the_first_line_and_stops(train: Corpus) -> None:
    rng = random.Random(6)
    for _ in range(40):
        sample = train.sample_of("edit_understood", rng)
        assert not sample.ends
        assert sample.answer.count("<<<<<<< SEARCH\n") == 1
        block = sample.answer.partition("<<<<<<< SEARCH\n")[2]
        assert block == sample.before + "=======\n" + sample.program
        assert understood(sample.before) != understood(sample.program)
        head = sample.answer.partition("\n")[0]
        assert head.endswith(sample.answer[slice(*sample.spans[0])].strip())
        assert sample.before in sample.messages[-1]["content"]


def test_an_understood_sample_is_the_beginning_of_a_created_program(train: Corpus) -> None:
    rng = random.Random(5)
    for _ in range(20):
        sample = train.sample_of("understood", rng)
        assert not sample.ends
        assert sample.answer.endswith("-->\n")
        line = understood(sample.program)
        assert line is not None
        for name, value in sample.asked.items():
            if value is not False:
                assert KINDS[sample.kind].attributes[name].chip(value) in line.chips
        assert (
            sample.answer[sample.spans[0][0] : sample.spans[0][1]] + "\n"
            == sample.program[: sample.program.index("\n") + 1]
        )


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_answers_applied_give_the_program(split) -> None:
    corpus = Corpus(8, split, kinds=tuple(KINDS))
    rng = random.Random(8)
    for kind in KINDS:
        for sample_type in ("create", "edit", "edit", "edit", "edit", "edit_part", "switch", "fix", "fix_part"):
            sample = corpus.sample_of(sample_type, rng, kind)
            applied = apply_answer(files_of(sample.before) if sample.before else {}, sample.answer)
            assert not applied.rejects
            assert applied.files == files_of(sample.program)
            shown = "```html index.html\n" + files_of(sample.before)["index.html"].removesuffix("\n") + "\n```\n\n"
            assert (shown in sample.messages[-1]["content"]) == bool(sample.before)
            assert sample.before != sample.program


def test_a_project_of_several_files_is_written_and_changed_file_by_file() -> None:
    corpus, rng = Corpus(5, "train", kinds=("blockworld",)), random.Random(5)
    seen = set()
    while seen != {"create", "edit"}:
        sample = corpus.sample_of(rng.choice(("create", "edit")), rng, "blockworld")
        if not sample.settings["files"]:
            continue
        seen.add(sample.type)
        files = files_of(sample.program)
        assert list(files) == ["index.html", "world.js", "blocks.js", "player.js"]
        scripts = [text for path, text in files.items() if path.endswith(".js")]
        assert all(text.startswith("import * as THREE from 'three';\n") for text in scripts)
        assert files_of(text_of(files)) == files
        if sample.type == "create":
            assert sample.answer.count("```javascript ") == 3
        else:
            changed = [path for path, text in files_of(sample.before).items() if text != files[path]]
            assert "index.html" in changed  # its first line states what was asked for
            assert [line for line in sample.answer.split("\n") if line.startswith("```edit")] == [
                f"```edit {path}" for path in changed]


def test_a_program_that_another_takes_the_place_of_is_of_one_file() -> None:
    corpus, rng = Corpus(5, "train", kinds=("blockworld", "snake")), random.Random(6)
    for _ in range(40):
        assert list(files_of(corpus.sample_of("switch", rng, "snake").before)) == ["index.html"]


def test_words_nobody_knows_stand_around_changes_in_training_alone(train: Corpus, held_out: Corpus) -> None:
    def frames(corpus: Corpus) -> list[str]:
        samples = [corpus.sample_of("edit_understood", random.Random(seed)) for seed in range(200)]
        assert not any("{" in sample.messages[-1]["content"].rpartition("```")[2] for sample in samples)
        return [sample.templates[-1] for sample in samples]

    assert any("{word}" in frame for frame in frames(train))
    assert not any("{word}" in frame for frame in frames(held_out))


def test_where_a_part_of_an_edit_ends_counts_as_asked(train: Corpus) -> None:
    for seed in range(40):
        sample = train.sample_of("edit", random.Random(seed))
        marked = {at for start, stop in sample.spans for at in range(start, stop)}
        ends = [match.end() for match in re.finditer("\n>>>>>>> REPLACE\n", sample.answer)]
        assert ends
        assert marked.issuperset(ends)
        assert marked.issuperset(match.end() for match in re.finditer("```edit ", sample.answer))


def test_edit_parts_are_short_and_unique() -> None:
    old = "<a>\nx = 1;\n}\ny = 1;\n}\nz = 1;\n}"
    parts = diff_parts(old, old.replace("y = 1", "y = 2"))
    assert [(part.search, part.replace) for part in parts] == [(("y = 1;",), ("y = 2;",))]
    inserted = "<a>\nx = 1;\n}\ny = 1;\n}\nnew\nz = 1;\n}"
    (part,) = diff_parts(old, inserted)
    assert tuple(line for line in part.replace if line != "new") == part.search
    assert len(part.search) <= 2
    assert old.count("\n".join(part.search)) == 1
    (gone,) = diff_parts(inserted, old)
    assert (gone.search, gone.replace) == (("new",), ())


def test_near_changes_keep_the_first_line_and_the_change() -> None:
    old = "<!-- a -->\n" + "\n".join(f"line {number};" for number in range(60))
    new = old.replace("line 30;", "line x;").replace("<!-- a -->", "<!-- b -->")
    for seed in range(20):
        before, after = near_changes(old, new, random.Random(seed))
        assert before.startswith("<!-- a -->\n")
        assert after == before.replace("line 30;", "line x;").replace("<!-- a -->", "<!-- b -->") != before
        assert before.count("\n") <= 18


def test_the_splits_share_no_wording_and_no_combination(train: Corpus, held_out: Corpus) -> None:
    words: dict[str, set[str]] = {"train": set(), "held_out": set()}
    for name, corpus in (("train", train), ("held_out", held_out)):
        for index in range(400):
            sample = corpus.sample(index)
            words[name].update(sample.templates)
            prefix = "edit " if sample.type in ("edit", "edit_by_hand", "edit_part", "edit_understood") else ""
            if len(sample.asked) > 1:
                assert is_held_out(combination(prefix + sample.kind, sample.asked)) == (name == "held_out")
    assert not words["train"] & words["held_out"]
    assert len(words["held_out"]) > 20


def test_what_is_plural_has_its_verb(train: Corpus) -> None:
    rng = random.Random(4)
    asked = {"ship": "green"}
    texts = [compose_request(train.kinds["invaders"], template, asked, 0.0, rng).text
             for template in ("space invaders", "a game of space invaders") for _ in range(400)]
    assert any("space invaders that have" in text.lower() for text in texts)
    assert not any("invaders that has" in text.lower() for text in texts if "a game" not in text.lower())


def test_nothing_is_opened_twice() -> None:
    texts = {with_opener("show me a lake", random.Random(seed), noun_rate=0.0) for seed in range(600)}
    assert "now show me a lake" in texts
    assert not any(text.startswith(("what about", "i'd like this", "hi! could you do this")) for text in texts)


def test_the_list_of_what_there_is_names_every_kind(train: Corpus) -> None:
    lists = [answer for answer in train.answers("chat") if "3D scenes: " in answer]
    assert lists
    for answer in lists:
        assert all(kind.title.lower() in answer.lower() for kind in train.kinds.values())


def test_typos_leave_numbers_alone() -> None:
    rng = random.Random(0)
    wrong = {with_typo("mountains with 12345 trees", rng) for _ in range(50)}
    assert len(wrong) > 5
    assert all("12345" in text for text in wrong)


@pytest.mark.parametrize(
    ("frame", "wants"),
    [("what if I {e}?", True), ("you might {e}", True), ("maybe you can {e}", True), ("maybe {e}", False)],
)
def test_a_frame_tells_whether_a_verb_follows(frame: str, wants: bool) -> None:
    assert wants_a_verb(frame) == wants


def test_short_names_are_misspelt_too() -> None:
    rng = random.Random(0)
    assert {with_typo("pong", rng) for _ in range(20)} > {"pnog", "pog"}
    assert {with_typo("sea", rng) for _ in range(20)} == {"sea"}


def test_a_broken_kind_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(CORPUS_FOLDER, folder)
    path = folder / "kinds" / "balls.toml"
    good = path.read_text("utf-8")
    path.write_text(good.replace('default = "colourful"', 'default = "plaid"'), "utf-8")
    with pytest.raises(ValueError, match=r"balls.toml can't be read as a kind: color has no value 'plaid'"):
        load_kinds(folder)
    path.write_text(good.replace("answer = [", "reply = ["), "utf-8")
    with pytest.raises(ValueError, match=r"balls.toml lacks 'answer'"):
        load_kinds(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reported_error_is_answered_by_the_mended_line(train: Corpus, kind) -> None:
    rng = random.Random(11)
    for _ in range(5):
        sample = train.sample_of("fix", rng, kind)
        broken, whole = sample.before.split("\n"), sample.program.split("\n")
        (line,) = [index for index, text in enumerate(broken) if text != whole[index]]
        report = sample.messages[-1]["content"].split("```\n\n")[-1]
        assert f"index.html:{line + 1}: Uncaught " in report
        assert broken[line].strip()[:160] in report
        assert apply_answer({"index.html": sample.before}, sample.answer).files == {"index.html": sample.program}


def test_held_out_requests_ask_for_as_many_things_as_those_of_training(train: Corpus, held_out: Corpus) -> None:
    rng = random.Random(4)
    for sample_type, least in (("create", 1.9), ("edit", 1.25)):
        means = [sum(len(corpus.sample_of(sample_type, rng).asked) for _ in range(300)) / 300
                 for corpus in (train, held_out)]
        assert min(means) > least
