"""Enkaku over HTTP: ``enkaku.asgi`` in uvicorn, and ``connect_http``; otherwise as the peer ``enkaku``."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import enkaku

from compare.bench_protocol import BenchClient
from compare.peers.enkaku_peer import Bench, Client, Counter, make
from compare.peers.uvicorn_server import address_of, serve_app

REQUIREMENTS: Final = ("uvicorn==0.54.0", "httptools==0.9.0", "websockets==17.4", "aiohttp==3.14.5")

__all__ = ["REQUIREMENTS", "connect", "hold", "make", "serve"]


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    await serve_app(enkaku.asgi(Bench(), observers=[Counter()]), path, ready)


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    url = f"http://{address_of(path)}/"
    async with enkaku.connect_http(url, observers=[Counter()]) as connection:
        yield Client(BenchClient(connection))


@asynccontextmanager
async def hold(path: str) -> AsyncGenerator[None, None]:
    """Open a session: a feed, with a stream that sends one record, and no more."""
    async with connect(path) as client, client.stream(0, 0) as records:
        await anext(records)
        yield
