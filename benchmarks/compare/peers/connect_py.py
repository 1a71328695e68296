"""connect-py over HTTP/2, its client on pyqwest, its server on Hypercorn.

pyqwest has no Unix sockets, so that this is TCP, and a file at the path has the port. Hypercorn sends all ready items of a
stream in one frame. On pyvoy, the server that connect-py's authors recommend, each item has its own frame and wakes the
client: several times the rate of requests in flight, and a small part of the rate of stream items.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import hypercorn.asyncio
from hypercorn.config import Config
from pyqwest import HTTPVersion

from compare.peers.connect_service import Client, app, hold_stream, make, open_client

REQUIREMENTS: Final = (
    "connectrpc==0.13.0",
    "pyqwest==0.12.0",
    "hypercorn==0.18.0",
    "h2==4.4.1",
    "protobuf-py==0.7.0",
)

__all__ = ["REQUIREMENTS", "connect", "hold", "make", "serve"]


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1000)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    Path(path).write_text(address)  # noqa: ASYNC240 # before the first client connects
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # Hypercorn closes it
    config.backlog = 1000
    config.loglevel = "ERROR"
    config.keep_alive_timeout = 600
    config.keep_alive_max_requests = sys.maxsize  # by default, a connection is closed after 1,000
    ready()
    await hypercorn.asyncio.serve(app, config)


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    address = Path(path).read_text()  # noqa: ASYNC240 # before the measurement
    async with open_client(address, HTTPVersion.HTTP2) as client:
        yield client


@asynccontextmanager
async def hold(path: str) -> AsyncGenerator[None, None]:
    """Open a connection with an idle stream."""
    async with connect(path) as client, hold_stream(client):
        yield
