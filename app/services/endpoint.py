"""The client of an OpenAI-compatible API, local or not: Qt's own network access, no threads.

What the JSON means is app.core.wire's, who asks what is app.services.chat_session's.
"""

import json
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QByteArray, QObject, QUrl, Signal, Slot
from PySide6.QtNetwork import QNetworkAccessManager, QNetworkProxy, QNetworkReply, QNetworkRequest

from app.core.sse import SseParser
from app.core.wire import ChatRequest, EndpointError, StreamReader, error_of_body

REQUEST_TIMEOUT_MS = 30_000
MAX_ERROR_BYTES = 200_000


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointConfig:
    """Where a model is served. `base_url` ends in /v1; `is_local` says that it speaks our extension."""

    base_url: str = ""
    key: str = ""
    name: str = ""
    is_local: bool = False


class ChatReply(QObject):
    """One streamed answer. Exactly one of finished, failed, or neither after `cancel` comes last.

    Signals:
        request_started: the server took the request and streams.
        tokens_received(StreamChunk): a piece of the answer.
        finished(Completion): the answer is whole.
        failed(EndpointError): it is not; `text` holds what came.
    """

    request_started = Signal()
    tokens_received = Signal(object)
    finished = Signal(object)
    failed = Signal(object)

    def __init__(
        self, network: QNetworkAccessManager, message: QNetworkRequest, body: bytes, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._network = network
        self._message = message
        self._body = body
        self._reader = StreamReader()
        self._parser = SseParser()
        self._is_over = False
        self._has_started = False
        self._is_repeated = False
        self._reply = self._post()

    @property
    def text(self) -> str:
        """What came so far."""
        return self._reader.text

    def cancel(self) -> None:
        """Close the connection, which stops the model; no signal follows."""
        if not self._is_over:
            self._close()

    def _post(self) -> QNetworkReply:
        # The network's reply stays its manager's child: it must not outlive it.
        reply = self._network.post(self._message, QByteArray(self._body))
        reply.readyRead.connect(self._read)
        reply.finished.connect(self._end)
        return reply

    def _repeat(self) -> bool:
        """Ask once more if the server closed an idle connection in the moment it was used again."""
        closed = self._reply.error() == QNetworkReply.NetworkError.RemoteHostClosedError
        if not closed or self._is_repeated or _status(self._reply):
            return False
        self._is_repeated = True
        self._reply.deleteLater()
        self._reply = self._post()
        return True

    @Slot()
    def _read(self) -> None:
        if self._is_over or _status(self._reply) != 200:
            return
        if not self._has_started:
            self._has_started = True
            self.request_started.emit()
        self._take(self._parser.feed(bytes(self._reply.readAll().data())))

    def _take(self, events: list[str]) -> None:
        for event in events:
            if self._is_over:
                return
            result = self._reader.read(event)
            if isinstance(result, EndpointError):
                self._fail(result)
            elif result is not None:
                self.tokens_received.emit(result)

    @Slot()
    def _end(self) -> None:
        if self._is_over:
            return
        if _status(self._reply) != 200:
            if not self._repeat():
                self._fail(_error_of(self._reply))
            return
        self._read()
        self._take(self._parser.finish())
        if self._is_over:
            return
        if self._reader.has_ended:
            self._close()
            self.finished.emit(self._reader.completion())
        else:
            self._fail(_error_of(self._reply))

    def _fail(self, error: EndpointError) -> None:
        self._close()
        self.failed.emit(error)

    def _close(self) -> None:
        self._is_over = True
        self._reply.abort()
        self._reply.deleteLater()
        self.deleteLater()


class JsonReply(QObject):
    """One small request. Signals: received(object), the decoded JSON; failed(EndpointError)."""

    received = Signal(object)
    failed = Signal(object)

    def __init__(self, reply: QNetworkReply, parent: QObject) -> None:
        super().__init__(parent)
        self._reply = reply
        reply.finished.connect(self._end)

    def cancel(self) -> None:
        """Give it up; no signal follows."""
        self._reply.finished.disconnect(self._end)
        self._reply.abort()
        self._reply.deleteLater()
        self.deleteLater()

    @Slot()
    def _end(self) -> None:
        self._reply.deleteLater()
        self.deleteLater()
        if self._reply.error() != QNetworkReply.NetworkError.NoError:
            self.failed.emit(_error_of(self._reply))
            return
        try:
            document = json.loads(bytes(self._reply.readAll().data()))
        except ValueError as error:
            self.failed.emit(
                EndpointError(
                    kind="malformed",
                    what="The model's server sent something unexpected.",
                    why=f"Its answer is not JSON ({error}).",
                    next_step="Check the address of the server.",
                )
            )
            return
        self.received.emit(document)


class Endpoint(QObject):
    """A place that serves models; its address can change (the local engine restarts on another port).

    Signals:
        config_changed: requests go to another place from now on.
    """

    config_changed = Signal()

    def __init__(self, config: EndpointConfig | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._config = config or EndpointConfig()
        self._network = QNetworkAccessManager(self)
        # The key is sent to the address that was given and to no other.
        self._network.setRedirectPolicy(QNetworkRequest.RedirectPolicy.ManualRedirectPolicy)

    @property
    def config(self) -> EndpointConfig:
        """Where requests go."""
        return self._config

    def set_config(self, config: EndpointConfig) -> None:
        """Send requests elsewhere from now on; those under way are not touched."""
        if config == self._config:
            return
        self._config = config
        no_proxy = QNetworkProxy.ProxyType.NoProxy if config.is_local else QNetworkProxy.ProxyType.DefaultProxy
        self._network.setProxy(QNetworkProxy(no_proxy))
        self.config_changed.emit()

    def chat(self, request: ChatRequest) -> ChatReply:
        """Ask for an answer as a stream. The reply deletes itself after its last signal."""
        body = json.dumps(request.as_json(is_local=self._config.is_local), ensure_ascii=False)
        message = self._request("/chat/completions")
        message.setRawHeader(b"Accept", b"text/event-stream")
        return ChatReply(self._network, message, body.encode("utf-8", "replace"), self)

    def fetch_models(self) -> JsonReply:
        """Ask which models there are; read with app.core.wire.models_of."""
        return JsonReply(self._network.get(self._request("/models", timeout_ms=REQUEST_TIMEOUT_MS)), self)

    def fetch_health(self) -> JsonReply:
        """Ask the local engine how it is; read with app.core.wire.health_of."""
        request = self._request("/../healthz", timeout_ms=REQUEST_TIMEOUT_MS)
        return JsonReply(self._network.get(request), self)

    def load_model(self, model_dir: str) -> JsonReply:
        """Have the local engine load another model; /healthz then tells how far it is."""
        body = json.dumps({"model": model_dir}).encode()
        request = self._request("/models/load", timeout_ms=REQUEST_TIMEOUT_MS)
        return JsonReply(self._network.post(request, QByteArray(body)), self)

    def _request(self, path: str, *, timeout_ms: int = 0) -> QNetworkRequest:
        base = self._config.base_url.rstrip("/")
        if path.startswith("/../"):
            base, path = base.removesuffix("/v1"), path[3:]
        request = QNetworkRequest(QUrl(base + path))
        request.setHeader(QNetworkRequest.KnownHeaders.ContentTypeHeader, "application/json")
        request.setHeader(QNetworkRequest.KnownHeaders.UserAgentHeader, "Expertarium")
        # Compressed streams would arrive in lumps.
        request.setRawHeader(b"Accept-Encoding", b"identity")
        request.setAttribute(QNetworkRequest.Attribute.Http2AllowedAttribute, not self._config.is_local)
        request.setTransferTimeout(timeout_ms)
        if self._config.key:
            request.setRawHeader(b"Authorization", f"Bearer {self._config.key}".encode())
        return request


def _status(reply: QNetworkReply) -> int:
    status = reply.attribute(QNetworkRequest.Attribute.HttpStatusCodeAttribute)
    return int(status) if isinstance(status, int) else 0


def _error_of(reply: QNetworkReply) -> EndpointError:
    status = _status(reply)
    if status >= 400:
        return error_of_body(_json_or_text(bytes(reply.read(MAX_ERROR_BYTES).data())), http_status=status)
    if 300 <= status < 400:
        return EndpointError(
            kind="refused",
            what="The model's server sends us elsewhere.",
            why="Redirects are not followed, so that the key stays with the address you gave.",
            next_step="Set the final address of the server.",
            http_status=status,
        )
    if status == 200:
        return EndpointError(
            kind="lost",
            what="The connection to the model was lost.",
            why="The server closed it before the answer was whole.",
            next_step="What came is kept; you can continue the answer.",
        )
    return EndpointError(
        kind="unreachable",
        what="The model cannot be reached.",
        why=f"{reply.errorString()}.",
        next_step="Check that its server runs and its address is right.",
    )


def _json_or_text(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        text = data.decode("utf-8", errors="replace").strip()
        return {"error": {"message": text[:400]}} if text else {}
