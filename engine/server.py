"""The API: OpenAI's routes with the routing extension, over one worker. It imports no torch.

Here are routes, the guard (key, Host header) and the way from a worker's events to a stream. Bodies are in
api_types, answers in replies, errors in api_errors, the process around it in serve.
"""

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.api_docs import docs_page
from engine.api_errors import TOO_LARGE, ApiError, install_handlers
from engine.api_types import ChatBody, CompletionBody, LoadBody, chat_request, completion_request
from engine.events import Delta, Event, Failed, Finished, GenerateRequest
from engine.replies import ChatReply, Reply, TextReply, failure_body, sse_data
from engine.served_model import ServedModel
from engine.worker import Worker

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS = ("/docs", "/openapi.json")  # the form of requests, nothing of anybody's
KEEP_ALIVE_S = 10.0
PRESENCE_CHECK_S = 0.25
MAX_BODY_BYTES = 64 * 1024 * 1024


def create_app(worker: Worker, *, key: str) -> FastAPI:
    """Build the API over a started worker; every request must bear `key`."""
    app = FastAPI(title="Expertarium engine", docs_url=None, redoc_url=None,
                  description="OpenAI-compatible API with expert routing.")
    install_handlers(app)
    app.add_middleware(_Guard, key=key)
    _add_model_routes(app, worker)
    _add_generation_routes(app, worker)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))

    return app


class _Guard:
    """Lets through what bears the key and was addressed to this machine. Plain ASGI: streams pass untouched."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(Headers(scope=scope), scope["path"], self._key) if scope["type"] == "http" else None
        next_app = self._app if refusal is None else JSONResponse(refusal.body, refusal.status)
        await next_app(scope, _limited(receive), send)


def _limited(receive: Receive) -> Receive:
    """Watch over a body sent in chunks, whose length no header says."""
    num_bytes = 0

    async def receive_some() -> Message:
        nonlocal num_bytes
        message = await receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > MAX_BODY_BYTES:
            raise HTTPException(413)
        return message

    return receive_some


def _refusal(headers: Headers, path: str, key: str) -> ApiError | None:
    named = headers.get("host", "")
    host = named[: named.index("]") + 1] if "]" in named else named.partition(":")[0]
    if host.lower() not in LOCAL_HOSTS:
        return ApiError(403, "wrong_host", f"The Host header names {host!r}; this engine answers to "
                        f"{', '.join(LOCAL_HOSTS)} only, so that web pages can't reach it under another name.",
                        "Use http://127.0.0.1 with the engine's port as the address.")
    if path in OPEN_PATHS:
        return None
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
        problem = "The key is wrong." if given else "The request bears no key."
        return ApiError(401, "invalid_api_key", problem, "Send the header Authorization: Bearer KEY with the key that "
                        "the engine printed when it started, or that EXPERTARIUM_API_KEY holds.")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return ApiError(413, *TOO_LARGE)
    return None


def _add_model_routes(app: FastAPI, worker: Worker) -> None:
    @app.get("/healthz")
    async def health() -> dict[str, Any]:
        """Say whether a model is ready, and how far loading is."""
        status = worker.status
        return {"status": status.state, "progress": status.progress, "message": status.message,
                "model": status.model_name}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """List the loaded model with its card."""
        model = worker.status.model
        return {"object": "list", "data": [] if model is None else [_model_json(model)]}

    @app.get("/v1/models/{name}")
    async def one_model(name: str) -> dict[str, Any]:
        """Describe one model."""
        return _model_json(_ready_model(worker, name))

    @app.post("/v1/models/load", status_code=202)
    async def load(body: LoadBody) -> dict[str, Any]:
        """Load a checkpoint folder in place of the model that is there; /healthz tells how it goes."""
        folder = Path(body.model).expanduser()
        if not folder.is_absolute() or not folder.is_dir():
            raise ApiError(400, "no_such_folder", f"{body.model!r} is no folder on this computer.",
                           "Send the full path of a folder that holds config.json and *.safetensors.", param="model")
        worker.load(folder)
        return {"status": "loading", "model": folder.name}


def _model_json(model: ServedModel) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": 0, "owned_by": "expertarium", **model.card}


def _ready_model(worker: Worker, name: str) -> ServedModel:
    """Give the loaded model if it is called `name` (or nothing was asked for).

    Raises:
        ApiError: 503 while loading or without a model, 404 for another name.
    """
    status = worker.status
    if status.state == "loading":
        raise ApiError(503, "model_loading", f"The model {status.model_name} is still loading "
                       f"({status.progress:.0%}).", "Try again in a moment; /healthz tells when it is ready.")
    if status.model is None:
        raise ApiError(503, "no_model", f"No model is loaded. {status.message}",
                       "Load a checkpoint folder with POST /v1/models/load.")
    if name and name != status.model.id:
        raise ApiError(404, "model_not_found", f"There is no model {name!r} here; loaded is {status.model.id!r}.",
                       f"Use {status.model.id!r} as the model, or load another.", param="model")
    return status.model


def _add_generation_routes(app: FastAPI, worker: Worker) -> None:
    @app.post("/v1/chat/completions")
    async def chat(body: ChatBody, request: Request) -> Response:
        """Answer a conversation."""
        model = _ready_model(worker, body.model)
        reply = ChatReply(model, include_usage=bool(body.stream_options and body.stream_options.include_usage),
                          with_tools=bool(body.tools), with_logprobs=bool(body.logprobs))
        answer = Answer(worker, chat_request(body, model), model)
        return await _respond(answer, reply, request, stream=body.stream)

    @app.post("/v1/completions")
    async def completions(body: CompletionBody, request: Request) -> Response:
        """Continue a text."""
        model = _ready_model(worker, body.model)
        reply = TextReply(model, include_usage=bool(body.stream_options and body.stream_options.include_usage),
                          with_logprobs=body.logprobs is not None)
        answer = Answer(worker, completion_request(body, model), model)
        return await _respond(answer, reply, request, stream=body.stream)


class Answer:
    """The events of one request on the event loop. `close` cancels a request that has not ended."""

    def __init__(self, worker: Worker, request: GenerateRequest, model: ServedModel) -> None:
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._is_over = False
        self._number = worker.submit(request, model, self._from_worker)

    def _from_worker(self, event: Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self, every_s: float) -> AsyncIterator[Event | None]:
        """Yield events until the last; None whenever nothing came for `every_s` seconds."""
        while not self._is_over:
            try:
                event = await asyncio.wait_for(self._events.get(), every_s)
            except TimeoutError:
                yield None
                continue
            self._is_over = not isinstance(event, Delta)
            yield event

    def close(self) -> None:
        """Stop the model's work for a request that nobody waits for any more."""
        if not self._is_over:
            self._is_over = True
            self._worker.cancel(self._number)


class _EventStream(StreamingResponse):
    """Server-sent events of an answer; when the client goes away, the answer is closed at once."""

    def __init__(self, answer: Answer, reply: Reply) -> None:
        super().__init__(_sse(answer, reply), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answer.close()


async def _respond(answer: Answer, reply: Reply, request: Request, *, stream: bool) -> Response:
    if stream:
        return _EventStream(answer, reply)
    clock = asyncio.get_running_loop().time
    checked_at = clock()
    try:
        async for event in answer.events(PRESENCE_CHECK_S):
            if clock() - checked_at > PRESENCE_CHECK_S:
                checked_at = clock()
                if await request.is_disconnected():
                    return Response(status_code=499)
            if isinstance(event, Delta):
                reply.delta(event)
            elif isinstance(event, Failed):
                status, body = failure_body(event)
                return JSONResponse(body, status)
            elif isinstance(event, Finished):
                return JSONResponse(reply.whole(event))
    finally:
        answer.close()
    raise AssertionError("an answer ends with Finished or Failed")


async def _sse(answer: Answer, reply: Reply) -> AsyncIterator[bytes]:
    """Write an answer as server-sent events; comments keep the connection alive while nothing comes."""
    for chunk in reply.opening():
        yield sse_data(chunk)
    async for event in answer.events(KEEP_ALIVE_S):
        if event is None:
            yield b": waiting\n\n"
        elif isinstance(event, Failed):
            yield sse_data(failure_body(event)[1])
        else:
            for chunk in reply.last(event) if isinstance(event, Finished) else reply.delta(event):
                yield sse_data(chunk)
    yield b"data: [DONE]\n\n"
