"""The peer ``socketio`` as an ASGI app in uvicorn, over TCP."""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false, reportAttributeAccessIssue=false
# (its imports are installed in another environment, and the type checker takes socketio.py for the library)

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import socketio

from compare.peers.socketio import Client, MsgspecJson, Serving, open_client
from compare.peers.uvicorn_server import address_of, serve_app

REQUIREMENTS: Final = (
    "python-socketio==5.18.1",
    "aiohttp==3.14.5",
    "uvicorn==0.54.0",
    "httptools==0.9.0",
    "websockets==17.4",
)


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    server = socketio.AsyncServer(async_mode="asgi", json=MsgspecJson, transports=["websocket"])
    server.register_namespace(Serving())
    await serve_app(socketio.ASGIApp(server), path, ready)


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    url = f"http://{address_of(path)}"
    async with open_client(aiohttp.TCPConnector(), url) as client:
        yield client
