"""A training state that begins with a trained model's weights, with a vocabulary grown by phrases."""

import json
from pathlib import Path

import pytest
import torch

from engine.train.__main__ import export, main, make_tokenizer, parse_arguments
from engine.train.corpus import Corpus
from engine.train.loop import Position, Trainer
from engine.train.phrases import code_pieces
from engine.train.plan import NANO_CONFIG, Plan
from engine.train.tokenizer import grow_tokenizer, load_tokenizer
from engine.train.warm_start import grown_rows, read_masters, start_from

NANO = Path(__file__).parents[3] / "resources" / "models" / "nano"
NEW_TOKENS = 8


def code() -> list[str]:
    pieces = ["renderer.quiteNewPhrase(time);\n", "const quiteNewPhrase = quiteNewPhrase;\n"] * 3
    return pieces + list(code_pieces(Corpus(1, "train", kinds=("snake",)).sample(5)))


@pytest.fixture(scope="module")
def config() -> dict[str, object]:
    vocab_size = json.loads((NANO / "config.json").read_text())["vocab_size"]
    return {**NANO_CONFIG, "vocab_size": vocab_size + NEW_TOKENS}


def test_what_was_shipped_comes_back_as_masters_and_is_exported_again(tmp_path: Path, config, monkeypatch) -> None:
    plan = Plan(folder=tmp_path / "train", minutes=1, kinds=("snake",))
    plan.folder.mkdir()
    start_from(NANO, plan, config, code())
    monkeypatch.setattr("engine.train.__main__.NANO_CONFIG", config)
    export(plan, tmp_path / "model", fresh=False)
    shipped, _ = read_masters(NANO, config)
    again, biases = read_masters(tmp_path / "model", config)
    for name, master in shipped.items():
        assert torch.equal(again[name][: len(master)], master), name  # FP8 of what FP8 decodes to is itself
    assert biases.abs().sum() > 0
    facts = json.loads((tmp_path / "model" / "training.json").read_text())
    earlier = json.loads((NANO / "training.json").read_text())
    assert facts["tokens"] == earlier["tokens"] > 1e6
    assert facts["kinds"] == ["snake"]
    assert facts["device"] == "a CPU"
    (tmp_path / "model" / "evaluation.json").write_text("{}")
    trained = Position(device="cuda", kinds=["pong", "balls"], shares=[0.5, 0.5])
    monkeypatch.setattr("engine.train.__main__.read_position", lambda _path: trained)
    export(plan, tmp_path / "model", fresh=False)  # facts are of the training, not of this machine
    facts = json.loads((tmp_path / "model" / "training.json").read_text())
    assert (facts["device"], facts["kinds"], facts["shares"]) == ("a GPU", ["balls", "pong"], [0.5, 0.5])
    assert not (tmp_path / "model" / "evaluation.json").exists()


def test_a_new_token_begins_as_what_it_stands_for() -> None:
    known = load_tokenizer(NANO)
    size = known.get_vocab_size()
    grown = grow_tokenizer(known, code(), size + NEW_TOKENS)
    text = "renderer.quiteNewPhrase"
    assert [grown.id_to_token(index) for index in range(size)] == [known.id_to_token(index) for index in range(size)]
    assert len(grown.encode(text).ids) < len(known.encode(text).ids)
    rows = torch.arange(size, dtype=torch.float32).unsqueeze(1)
    inputs, outputs = (grown_rows(rows, known, grown, first_only=only) for only in (False, True))
    assert len(inputs) == len(outputs) == size + NEW_TOKENS
    for token in range(size, size + NEW_TOKENS):
        pieces = known.encode(grown.decode([token])).ids
        assert len(pieces) > 1
        assert inputs[token, 0] == pytest.approx(sum(pieces) / len(pieces))
        assert outputs[token, 0] == pieces[0]


def test_a_state_that_is_there_is_not_overwritten(tmp_path: Path, config) -> None:
    plan = Plan(folder=tmp_path, minutes=1)
    plan.checkpoint.write_bytes(b"hours of training")
    with pytest.raises(ValueError, match="holds a training state already"):
        start_from(NANO, plan, config, code())
    with pytest.raises(SystemExit, match="holds a training state already"):
        main(["start", "--folder", str(tmp_path), "--kinds", "snake"])
    assert plan.checkpoint.read_bytes() == b"hours of training"


def test_a_model_of_another_shape_is_refused(tmp_path: Path, config) -> None:
    with pytest.raises(ValueError, match=r"has the shape .* and config.json asks for"):
        start_from(NANO, Plan(folder=tmp_path, minutes=1), {**config, "intermediate_size": 384}, code())
    small = Trainer(Plan(folder=tmp_path, minutes=1), config, torch.device("cpu"), torch.float32)
    masters, biases = read_masters(NANO, config)
    with pytest.raises(ValueError, match=r"the weights to start from has embed as .* it is of another model"):
        small.start(masters, biases)


def test_a_tokenizer_that_was_cut_off_is_learnt_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("engine.train.__main__.TOKENIZER_SAMPLES", 60)
    monkeypatch.setattr("engine.train.__main__.NANO_CONFIG", {**NANO_CONFIG, "vocab_size": 400})
    plan = Plan(folder=tmp_path, minutes=1, kinds=("snake",))
    plan.tokenizer.mkdir()
    (plan.tokenizer / "tokenizer_config.json").write_text("{")
    make_tokenizer(plan)
    assert load_tokenizer(plan.tokenizer).get_vocab_size() == 400
    (plan.tokenizer / "tokenizer_config.json").write_text("mine")
    make_tokenizer(plan)
    assert (plan.tokenizer / "tokenizer_config.json").read_text() == "mine"


def test_all_stages_are_run_where_none_is_named() -> None:
    assert parse_arguments([]).stage == "all"
    assert parse_arguments(["start"]).stage == "start"
