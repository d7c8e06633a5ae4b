"""The engine process around the API: socket, handshake line, key, and an end when the parent ends."""

import json
import logging
import os
import secrets
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import uvicorn

from engine.server import create_app
from engine.worker import Worker

logger = logging.getLogger(__name__)
KEY_VARIABLE = "EXPERTARIUM_API_KEY"
HOST = "127.0.0.1"
GRACE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """`port` 0 takes any free one."""

    model: Path
    port: int = 0
    device: str = "auto"
    exit_with_parent: bool = False


class _AnnouncingServer(uvicorn.Server):
    """Prints the handshake line once it accepts connections."""

    def __init__(self, config: uvicorn.Config, handshake: str, out: TextIO) -> None:
        super().__init__(config)
        self._handshake = handshake
        self._out = out

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._handshake, file=self._out, flush=True)


def serve(options: ServeOptions, out: TextIO) -> None:
    """Serve until asked to end. `out` gets the one handshake line.

    Raises:
        ValueError: the port is taken.
    """
    key = os.environ.get(KEY_VARIABLE) or secrets.token_urlsafe(24)
    listener = _bind(options.port)
    worker = Worker(device=options.device)
    worker.start()
    worker.load(options.model)
    config = uvicorn.Config(create_app(worker, key=key), log_config=None, access_log=False, lifespan="off",
                            timeout_graceful_shutdown=1, server_header=False)
    port = listener.getsockname()[1]
    handshake = json.dumps({"event": "listening", "port": port, "pid": os.getpid(), "key": key})
    server = _AnnouncingServer(config, handshake, out)
    if options.exit_with_parent:
        threading.Thread(target=_watch_parent, args=(server,), name="parent-watch", daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        worker.close(GRACE_S)


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere the option would let two engines share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise ValueError(f"Port {port} can't be used ({error.strerror}). Choose another --port, or leave it out for a "
                         "free one.") from error
    return listener


def _watch_parent(server: uvicorn.Server) -> None:
    """End this process when standard input closes: the parent, killed or not, is gone."""
    while sys.stdin.buffer.read(4096):
        pass
    logger.info("The parent has ended; the engine ends too.")
    server.should_exit = True
    server.force_exit = True
    timer = threading.Timer(2 * GRACE_S, os._exit, (0,))  # a step of a large model may not end in time
    timer.daemon = True
    timer.start()
