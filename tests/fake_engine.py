"""A small real HTTP server that speaks the engine's API, for tests of the app: a thread, or a process of its own.

In a test: `with FakeEngine() as engine: engine.answers.append(Answer("text"))`. As a process:
`python tests/fake_engine.py serve --exit-with-parent [--text T] [--die-after N] [--loading N] [--broken]`.
"""

import argparse
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from engine.trace import RoutingBlock, TraceToken, to_wire

NUM_EXPERTS = 8
TOP_K = 2
LAYERS = (1, 2)
MODEL = "fake-moe"
FINGERPRINT = "fp-fake"


@dataclass
class Answer:
    """What to say to one request. `hold` stops after `hold_after` pieces until it is set."""

    text: str = "Hello."
    finish_reason: str = "stop"
    piece_tokens: int = 2
    routed: bool = True
    die_after: int | None = None
    exits: bool = False
    error: tuple[int, dict[str, Any]] | None = None
    error_inside: dict[str, Any] | None = None
    hold: threading.Event | None = None
    hold_after: int = 1
    usage: dict[str, Any] | None = None
    raw: bytes | None = None
    drop: bool = False


@dataclass
class FakeEngine:
    """The server. `requests` are the bodies that came, `cancelled` counts connections closed by the client."""

    key: str = "secret"
    answers: list[Answer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    health: list[dict[str, Any]] = field(default_factory=list)
    context_length: int = 4096
    extension: bool = True
    cancelled: threading.Event = field(default_factory=threading.Event)
    default: Answer = field(default_factory=Answer)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"engine": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "FakeEngine":
        self._thread.start()
        return self

    def __exit__(self, *_args: object) -> None:
        for answer in self.answers:
            if answer.hold:
                answer.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve_forever(self) -> None:
        self._server.serve_forever()

    def next_answer(self, body: dict[str, Any]) -> Answer:
        self.requests.append(body)
        return self.answers.pop(0) if self.answers else self.default

    def models(self) -> dict[str, Any]:
        card: dict[str, Any] = {"id": MODEL, "object": "model"}
        if self.extension:
            card |= {"context_length": self.context_length, "num_experts": NUM_EXPERTS, "fingerprint": FINGERPRINT}
        return {"object": "list", "data": [card]}


def tokens_of(text: str, start: int) -> list[TraceToken]:
    return [
        TraceToken(
            id=sum(map(ord, match[0])) % 2048,
            text=match[0],
            phase="decode",
            logprob=-0.5,
            start=start + match.start(),
            end=start + match.end(),
        )
        for match in re.finditer(r"\s*\S+|\s+$", text)
    ]


def block_of(count: int, first: int = 0) -> RoutingBlock:
    rows = np.arange(first, first + count)[:, None, None]
    ids = (rows + np.arange(len(LAYERS))[None, :, None] + np.arange(TOP_K)[None, None, :]) % NUM_EXPERTS
    return RoutingBlock(
        layers=LAYERS,
        ids=ids.astype(np.uint16),
        weights=np.full(ids.shape, 0.5, np.float16),
        margin=np.full(ids.shape[:2], 0.1, np.float16),
        shared=np.full(ids.shape[:2], 0.3, np.float16),
    )


def events_of(answer: Answer, body: dict[str, Any], *, extension: bool) -> Iterator[dict[str, Any]]:
    base = {"id": "c1", "object": "chat.completion.chunk", "model": MODEL, "system_fingerprint": FINGERPRINT}
    routed = extension and answer.routed and body.get("routing", "off") != "off"
    if routed:
        prompt = [TraceToken(id=1, text="<prompt>", phase="prefill"), TraceToken(id=2, text="hi", phase="prefill")]
        yield {**base, "choices": [], "expertarium": to_wire("prefill", prompt, block_of(2))}
    done = len(body.get("continue_from", ""))
    tokens = tokens_of(answer.text, done)
    for at in range(0, len(tokens), answer.piece_tokens):
        piece = tokens[at : at + answer.piece_tokens]
        text = "".join(token.text for token in piece)
        event = {**base, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        if routed:
            event["expertarium"] = to_wire("decode", piece, block_of(len(piece), at))
        yield event
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish_reason}]}
    usage = answer.usage or {"prompt_tokens": 2, "completion_tokens": len(tokens), "total_tokens": len(tokens) + 2}
    last = {**base, "choices": [], "usage": usage}
    if extension:
        last["expertarium"] = {"timings": {"decode_tokens_per_s": 50.0, "prefill_tokens_per_s": 500.0}}
    yield last


class Handler(BaseHTTPRequestHandler):
    """Answers for the FakeEngine its subclass names."""

    protocol_version = "HTTP/1.1"
    engine: "FakeEngine"

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/healthz":
            health = self.engine.health.pop(0) if len(self.engine.health) > 1 else (self.engine.health or [None])[0]
            self.reply(200, health or {"status": "ready", "progress": 1.0, "message": "", "model": MODEL})
        elif self.may_enter():
            self.reply(200, self.engine.models())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.may_enter():
            return
        answer = self.engine.next_answer(body)
        if answer.drop:
            self.close_connection = True
            return
        if answer.error:
            self.reply(*answer.error)
            return
        try:
            self.stream(answer, body)
        except (BrokenPipeError, ConnectionResetError):
            self.engine.cancelled.set()

    def may_enter(self) -> bool:
        if not self.engine.key or self.headers.get("Authorization") == f"Bearer {self.engine.key}":
            return True
        self.reply(401, {"error": {"message": "The key is wrong.", "type": "invalid_request_error"}})
        return False

    def reply(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, answer: Answer, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            return
        written = 0
        for number, event in enumerate(events_of(answer, body, extension=self.engine.extension)):
            if answer.hold and number == answer.hold_after:
                self.wait(answer.hold)
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            written += len(event["choices"][0]["delta"].get("content", "")) if event["choices"] else 0
            if answer.die_after is not None and written >= answer.die_after:
                if answer.exits:
                    os.kill(os.getpid(), signal.SIGKILL)
                return
        if answer.error_inside:
            self.wfile.write(f"data: {json.dumps({'error': answer.error_inside})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def wait(self, hold: threading.Event) -> None:
        """Hold the stream, and notice when the client goes away."""
        while not hold.wait(0.01):
            self.wfile.write(b": still here\n\n")
            self.wfile.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    parser.add_argument("--exit-with-parent", action="store_true")
    parser.add_argument("--model", default="")
    parser.add_argument("--text", default="Hello from a process.")
    parser.add_argument("--die-after", type=int)
    parser.add_argument("--loading", type=int, default=0)
    parser.add_argument("--broken", action="store_true")
    parser.add_argument("--refuse-model", action="store_true")
    arguments = parser.parse_args()
    if arguments.broken:
        sys.exit("no such weights")
    engine = FakeEngine(key="process-key", default=Answer(text=arguments.text))
    engine.health = [{"status": "loading", "progress": 0.5, "message": "Reading", "model": MODEL}] * arguments.loading
    engine.health.append({"status": "ready", "progress": 1.0, "message": "", "model": MODEL})
    if arguments.refuse_model and arguments.model:
        engine.health = [{"status": "error", "message": f"{arguments.model} has no config.json.", "model": ""}]
    if arguments.exit_with_parent:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    sys.stdout.write("a line that is no handshake\n")
    handshake = {"event": "listening", "port": engine.port, "pid": os.getpid(), "key": engine.key}
    sys.stdout.write(json.dumps(handshake) + "\n")
    sys.stdout.flush()
    sys.stderr.write("engine log line\n")
    if arguments.die_after is not None:
        engine.default = Answer(text=arguments.text, piece_tokens=1, die_after=arguments.die_after, exits=True)
    engine.serve_forever()


if __name__ == "__main__":
    main()
