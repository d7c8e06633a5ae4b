"""Keeps the preview off the network: the request interceptor of one preview, and the gate of the whole process.

Four layers, each sufficient for what it sees: the page's policy (preview_scheme.py) refuses before a request is
made; the interceptor refuses what the policy lets pass; navigation is refused by the page (preview_page.py); and
preconnect hints and WebRTC over TCP, which heed none of these (tried), end in a proxy that isn't there.
"""

from PySide6.QtCore import QObject, Signal
from PySide6.QtNetwork import QNetworkProxy
from PySide6.QtWebEngineCore import QWebEngineUrlRequestInfo, QWebEngineUrlRequestInterceptor

PROBE_ADDRESS = "http://127.0.0.1:2/"  # nothing answers there; why it is asked for: see shell.html

_LOCAL_SCHEMES = frozenset({"preview", "data", "blob", "about"})


class RequestGuard(QWebEngineUrlRequestInterceptor):
    """Refuses every request that leaves the preview's own schemes, unless the network is allowed.

    Signals:
        request_blocked: (address, kind of resource).
    """

    request_blocked = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.network_allowed = False

    # --- Qt overrides

    def interceptRequest(self, info: QWebEngineUrlRequestInfo) -> None:
        """Let our schemes through and, when allowed, the web; block the rest, files included."""
        scheme = info.requestUrl().scheme()
        if scheme in _LOCAL_SCHEMES or (self.network_allowed and scheme in ("http", "https", "ws", "wss")):
            return
        if info.requestUrl().toString() == PROBE_ADDRESS and info.initiator().host() == "shell":
            return
        info.block(True)  # noqa: FBT003 - its stub knows no keyword
        kind = info.resourceType().name.removeprefix("ResourceType")
        self.request_blocked.emit(info.requestUrl().toString(), kind.lower())


class NetworkGate:
    """Points all of this process's Qt networking at a dead end while no preview may use the network.

    Chromium takes the proxy of the application. Qt code of the program that does need a connection sets a proxy of
    its own on its access manager: none for the engine on this machine, `outside_proxy` for a remote one.
    """

    def __init__(self) -> None:
        current = QNetworkProxy.applicationProxy()
        # A dead end there is an earlier gate's, which is no way out: before that gate nothing was set.
        self._before = QNetworkProxy() if current == _dead_end() else current
        self._allowed: set[str] = set()
        self._apply()

    @property
    def outside_proxy(self) -> QNetworkProxy:
        """The way out the program itself uses, whatever the previews may do."""
        return self._before

    def set_allowed(self, owner: str, *, allowed: bool) -> None:
        """Note whether one preview may use the network; the gate is open while any may."""
        if allowed:
            self._allowed.add(owner)
        else:
            self._allowed.discard(owner)
        self._apply()

    def _apply(self) -> None:
        QNetworkProxy.setApplicationProxy(self._before if self._allowed else _dead_end())


def _dead_end() -> QNetworkProxy:
    """A proxy that isn't there: port 9 is "discard", where nothing answers."""
    return QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "127.0.0.1", 9)
