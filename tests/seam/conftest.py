"""A live engine process over a tiny model, and the official client of OpenAI's against it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.tiny_model import make_tiny_checkpoint

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A running engine."""

    process: "subprocess.Popen[str]"
    port: int
    key: str
    folder: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=self.headers, timeout=60)

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return httpx.post(self.url + path, headers=self.headers, json=body, timeout=60)

    def wait_while_loading(self) -> dict[str, Any]:
        pause = threading.Event()
        while (health := self.get("/healthz").json())["status"] == "loading":
            pause.wait(0.02)
        return dict(health)


def engine_environment(**extra: str) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "EXPERTARIUM_API_KEY"}
    return {**environment, "OMP_NUM_THREADS": "1", **extra}


def start_engine(folder: Path, **environment: str) -> Engine:
    log = folder.parent / f"{folder.name}.log"
    with log.open("w") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "serve", "--model", str(folder), "--device", "cpu", "--exit-with-parent"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file, text=True, cwd=ROOT,
            env=engine_environment(**environment))
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    assert line["event"] == "listening"
    assert line["pid"] == process.pid
    return Engine(process=process, port=line["port"], key=line["key"], folder=folder, log=log)


def stop_engine(engine: Engine) -> int:
    """Close the engine's standard input, as the death of a parent does; give its exit code."""
    assert engine.process.stdin is not None
    assert engine.process.stdout is not None
    engine.process.stdin.close()
    code = engine.process.wait(30)
    engine.process.stdout.close()
    return code


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Iterator[Engine]:
    running = start_engine(tiny_folder)
    assert running.wait_while_loading()["status"] == "ready"
    yield running
    stop_engine(running)


@pytest.fixture(scope="module")
def client(engine: Engine) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{engine.url}/v1", api_key=engine.key, max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture
def run_cli() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sys.executable, "-m", "engine", *arguments], capture_output=True, text=True, cwd=ROOT,
                              env=engine_environment(), timeout=120)

    return run
