"""connect-py over HTTP/1.1: its ASGI app in uvicorn, its client on pyqwest."""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

from pyqwest import HTTPVersion

from compare.peers.connect_service import Client, app, hold_stream, make, open_client
from compare.peers.uvicorn_server import address_of, serve_app

REQUIREMENTS: Final = (
    "connectrpc==0.13.0",
    "pyqwest==0.12.0",
    "protobuf-py==0.7.0",
    "uvicorn==0.54.0",
    "httptools==0.9.0",
    "websockets==17.4",
)
MISSING: Final = {"channel": "streams of both directions need HTTP/2, which uvicorn does not serve"}

__all__ = ["MISSING", "REQUIREMENTS", "connect", "hold", "make", "serve"]


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    await serve_app(app, path, ready)


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    async with open_client(f"http://{address_of(path)}", HTTPVersion.HTTP1) as client:
        yield client


@asynccontextmanager
async def hold(path: str) -> AsyncGenerator[None, None]:
    """Open a connection with an idle stream."""
    async with connect(path) as client, hold_stream(client):
        yield
