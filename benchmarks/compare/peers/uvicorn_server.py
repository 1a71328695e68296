"""uvicorn as the peers of the web suite run it: httptools, websockets, no compression, no access log, the caller's event loop.

It listens on a free TCP port of 127.0.0.1, and writes it into a file at the path.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from typing_extensions import override

__all__ = ["address_of", "serve_app"]


class _Server(uvicorn.Server):
    """Reports that it listens, and leaves signals to ``compare.serve``."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve_app(app: Any, path: str, ready: Callable[[], None]) -> None:  # noqa: ANN401 # ASGI
    """Serve an ASGI app until cancelled."""
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        backlog=1000,
        log_level="error",
        access_log=False,
    )
    await _Server(config, ready).serve([_listen(path)])


def _listen(path: str) -> socket.socket:
    # With the protocol's number, as uvicorn's own: asyncio sets TCP_NODELAY only where it is given.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    Path(path).write_text(f"127.0.0.1:{listening.getsockname()[1]}")
    return listening


def address_of(path: str) -> str:
    """Return host and port of the server that has written them into a file."""
    return Path(path).read_text()
