"""The engine process from outside: handshake, guard, loading, bad requests, its end."""

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.__main__ import main
from tests.seam.conftest import Engine, start_engine, stop_engine
from tests.tiny_model import make_tiny_checkpoint

ASK = {"messages": [{"role": "user", "content": "snow"}], "max_tokens": 2}


def test_every_path_but_the_description_needs_the_key(engine: Engine) -> None:
    for path in ("/healthz", "/v1/models", "/v1/chat/completions", "/nowhere"):
        answer = httpx.get(engine.url + path)
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "authentication_error"
        assert "Bearer" in answer.json()["error"]["next_step"]
    assert "/v1/chat/completions" in httpx.get(f"{engine.url}/openapi.json").json()["paths"]
    page = httpx.get(f"{engine.url}/docs").text
    assert "continue_from" in page
    assert "http" not in page.replace("http://127.0.0.1", "")


@pytest.mark.parametrize(("host", "allowed"), [
    ("127.0.0.1", True), ("localhost:99", True), ("[::1]:99", True), ("LOCALHOST", True),
    ("evil.example", False), ("127.0.0.1.evil.example", False), ("", False), ("[::1", False), ("[::2]", False),
])
def test_the_host_header_must_name_this_machine(engine: Engine, host: str, allowed: bool) -> None:
    answer = httpx.get(f"{engine.url}/healthz", headers={**engine.headers, "Host": host})
    assert (answer.status_code == 200) is allowed
    if not allowed:
        assert answer.status_code in (400, 403)


@pytest.mark.parametrize(("body", "words"), [
    (b'{"messages": [', "not JSON"),
    (b"[]", "body"),
    (b"[" * 50_000, "cannot be read as JSON"),
    (b'{"messages": 5}', "messages"),
    (b"\xff\xfe", ""),
])
def test_a_malformed_body_is_refused_in_our_form(engine: Engine, body: bytes, words: str) -> None:
    headers = {**engine.headers, "Content-Type": "application/json"}
    answer = httpx.post(f"{engine.url}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert words in error["message"]
    assert error["next_step"]


def test_a_body_without_its_type_is_told_which(engine: Engine) -> None:
    answer = httpx.post(f"{engine.url}/v1/chat/completions", content=json.dumps(ASK), headers=engine.headers)
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["error"]["next_step"]


def test_a_body_without_end_is_cut_off(engine: Engine) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(80):
            yield b" " * (1 << 20)

    headers = {**engine.headers, "Content-Type": "application/json"}
    answer = httpx.post(f"{engine.url}/v1/chat/completions", content=pieces(), headers=headers, timeout=60)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


def test_half_a_surrogate_pair_is_no_error(engine: Engine) -> None:
    content = b'{"messages": [{"role": "user", "content": "a\\ud800b"}], "max_tokens": 1}'
    headers = {**engine.headers, "Content-Type": "application/json"}
    answer = httpx.post(f"{engine.url}/v1/chat/completions", content=content, headers=headers)
    assert answer.status_code == 200


def test_an_unknown_path_and_method_keep_the_form(engine: Engine) -> None:
    assert engine.get("/v1/nothing").json()["error"]["code"] == "no_such_path"
    assert engine.get("/v1/chat/completions").status_code == 405


def test_loading_another_model(engine: Engine, tmp_path: Path) -> None:
    other = make_tiny_checkpoint(tmp_path / "other", seed=4)
    assert engine.post("/v1/models/load", {"model": str(other)}).json() == {"status": "loading", "model": "other"}
    assert engine.wait_while_loading()["model"] == "other"
    assert engine.get("/v1/models").json()["data"][0]["id"] == "other"
    refused = engine.post("/v1/models/load", {"model": str(tmp_path / "nothing")})
    assert refused.status_code == 400
    assert "no folder" in refused.json()["error"]["message"]
    engine.post("/v1/models/load", {"model": str(tmp_path)})
    health = engine.wait_while_loading()
    assert health["status"] == "error"
    assert "config.json" in health["message"]
    assert engine.post("/v1/chat/completions", ASK).status_code == 200  # the model from before still serves
    engine.post("/v1/models/load", {"model": str(engine.folder)})
    assert engine.wait_while_loading()["status"] == "ready"


def test_requests_while_loading_are_told_so(tiny_folder: Path) -> None:
    starting = start_engine(tiny_folder)
    try:
        answer = starting.post("/v1/chat/completions", ASK)
        assert answer.status_code in (200, 503)
        if answer.status_code == 503:
            assert answer.json()["error"]["code"] == "model_loading"
        assert starting.wait_while_loading()["status"] == "ready"
    finally:
        stop_engine(starting)


def _damage(name: str, folder: Path) -> None:
    weights = folder / "model.safetensors"
    if name == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif name == "missing":
        weights.unlink()
    elif name == "architecture":
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "gpt9"}), "utf-8")
    elif name == "shape":
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, "moe_intermediate_size": 48}), "utf-8")
    elif name == "shard":
        index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
        weights.rename(folder / "model-1.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    elif name == "nan":
        data = bytearray(weights.read_bytes())
        data[-4:] = b"\xff\xff\xff\xff"
        weights.write_bytes(data)
    elif name == "config":
        (folder / "config.json").write_text("{", "utf-8")


@pytest.mark.parametrize(("name", "words"), [
    ("truncated", "model.safetensors"), ("missing", "safetensors"), ("architecture", "gpt9"),
    ("shape", "shape"), ("config", "config.json"), ("shard", "model-2.safetensors"), ("nan", "NaN"),
])
def test_a_damaged_checkpoint_is_an_error_with_cause_and_the_engine_stays(
        engine: Engine, tmp_path: Path, name: str, words: str) -> None:
    folder = make_tiny_checkpoint(tmp_path / name)
    _damage(name, folder)
    engine.post("/v1/models/load", {"model": str(folder)})
    health = engine.wait_while_loading()
    assert health["status"] == "error"
    assert words in health["message"]
    engine.post("/v1/models/load", {"model": str(engine.folder)})
    assert engine.wait_while_loading()["status"] == "ready"


def test_without_a_model_the_engine_answers_and_says_so(tmp_path: Path) -> None:
    starting = start_engine(tmp_path / "nothing", EXPERTARIUM_API_KEY="own-key")
    try:
        assert starting.key == "own-key"
        health = starting.wait_while_loading()
        assert health["status"] == "error"
        assert "config.json" in health["message"]
        answer = starting.post("/v1/chat/completions", ASK)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "no_model"
        assert starting.get("/v1/models").json()["data"] == []
    finally:
        stop_engine(starting)


def test_a_model_without_tokenizer_takes_tokens_only(tmp_path: Path) -> None:
    starting = start_engine(make_tiny_checkpoint(tmp_path / "bare", with_tokenizer=False))
    try:
        assert starting.wait_while_loading()["status"] == "ready"
        refused = starting.post("/v1/chat/completions", ASK)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "no_tokenizer"
        answer = starting.post("/v1/completions", {"prompt": [20, 21], "max_tokens": 3, "routing": "ids"})
        assert answer.json()["usage"]["completion_tokens"] == 3
    finally:
        stop_engine(starting)


def test_the_engine_ends_with_its_parent_even_in_the_middle_of_an_answer(tiny_folder: Path) -> None:
    running = start_engine(tiny_folder)
    running.wait_while_loading()
    body: dict[str, Any] = {**ASK, "stream": True, "max_tokens": 490}
    with httpx.stream("POST", f"{running.url}/v1/chat/completions", headers=running.headers, json=body,
                      timeout=60) as answer:
        next(answer.iter_lines())
        assert stop_engine(running) == 0


def test_a_taken_port_is_a_clear_error(capsys: pytest.CaptureFixture[str], tiny_folder: Path) -> None:
    out = io.StringIO()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code = main(["serve", "--model", str(tiny_folder), "--port", str(taken.getsockname()[1])], out=out)
    assert code == 1
    assert "can't be used" in capsys.readouterr().err
    assert out.getvalue() == ""
