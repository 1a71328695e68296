"""FastAPI in uvicorn, with pydantic models and its server-sent events; the client is httpx2."""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false
# (its imports are installed in another environment)

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import httpx2
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse

from compare.peers.uvicorn_server import address_of, serve_app
from compare.record import Record, make

REQUIREMENTS: Final = (
    "fastapi==0.165.0",
    "starlette==1.10.0",
    "uvicorn==0.54.0",
    "httptools==0.9.0",
    "websockets==17.4",
    "httpx2==2.16.2",
)
MISSING: Final = {"channel": "server-sent events have one direction"}

_JSON: Final = {"content-type": "application/json"}

app: Final = FastAPI()


@app.post("/echo")
async def echo(record: Record) -> Record:
    """Return the record."""
    return record


@app.get("/records", response_class=EventSourceResponse)
async def records(count: int, label_size: int) -> AsyncGenerator[Record, None]:
    """Send a number of records."""
    for number in range(count):
        yield make(number, label_size)


@app.get("/idle", response_class=EventSourceResponse)
async def idle() -> AsyncGenerator[Record, None]:
    """Send one record, and no more."""
    yield make(0)
    await asyncio.Event().wait()


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    await serve_app(app, path, ready)


class Client:
    """A pool of connections."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def request(self, record: Record, /) -> Record:
        """Send a record, and return the server's copy."""
        body = record.model_dump_json().encode()
        response = await self._client.post("/echo", content=body, headers=_JSON)
        response.raise_for_status()
        return Record.model_validate_json(response.content)

    def events(self, path: str, **params: int) -> AbstractAsyncContextManager[httpx2.EventSource]:
        """Open a stream of server-sent events."""
        return self._client.sse(path, params=params)

    @asynccontextmanager
    async def stream(
        self, count: int, label_size: int
    ) -> AsyncGenerator[AsyncIterator[Record], None]:
        """Open a stream."""
        async with self.events("/records", count=count, label_size=label_size) as events:
            yield _read(events)

    def channel(self) -> Any:  # noqa: ANN401 # see MISSING
        """Raise: there is none."""
        raise NotImplementedError


async def _read(events: httpx2.EventSource) -> AsyncGenerator[Record, None]:
    async for event in events:
        yield Record.model_validate_json(event.data)


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    async with httpx2.AsyncClient(
        base_url=f"http://{address_of(path)}",
        limits=httpx2.Limits(max_connections=None),
        timeout=None,  # the round has a time limit
        trust_env=False,
        verify=False,  # certificates, which plain HTTP has not, take a megabyte
    ) as client:
        yield Client(client)


@asynccontextmanager
async def hold(path: str) -> AsyncGenerator[None, None]:
    """Open a session: a stream of server-sent events."""
    async with connect(path) as client, client.events("/idle") as events:
        records = _read(events)  # kept, since its end would close the response
        await anext(records)
        yield
