"""python-socketio on aiohttp, with WebSocket only, over a Unix socket, and msgspec as its JSON module.

A request is an event with an acknowledgement. Items of streams and channels are events, since the library has neither.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false, reportAttributeAccessIssue=false
# (its imports are installed in another environment, and the type checker takes this file for the library)

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count as counter
from typing import Any, Final, TypeAlias

import aiohttp
import msgspec
import socketio
from aiohttp import web

from compare.record import Record, make

REQUIREMENTS: Final = ("python-socketio==5.18.1", "aiohttp==3.14.5")

Json: TypeAlias = dict[str, Any]


class MsgspecJson:
    """The interface that python-socketio requires of a JSON module."""

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        """Write."""
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: object) -> object:
        """Read."""
        return msgspec.json.decode(text)


class Serving(socketio.AsyncNamespace):
    """The server's side."""

    def __init__(self) -> None:
        super().__init__("/")
        self._pouring: set[asyncio.Task[None]] = set()

    async def on_echo(self, _sid: str, record: Json) -> Json:
        """Return the record as the acknowledgement."""
        return Record.model_validate(record).model_dump()

    async def on_item(self, sid: str, number: int, record: Json) -> None:
        """Send an item of a channel back."""
        back = Record.model_validate(record)
        await self.emit("item", (number, back.model_dump()), to=sid)

    async def on_stream(self, sid: str, number: int, count: int, label_size: int) -> None:
        """Start a stream."""
        task = asyncio.create_task(self._pour(sid, number, count, label_size))
        self._pouring.add(task)
        task.add_done_callback(self._pouring.discard)

    async def _pour(self, sid: str, number: int, count: int, label_size: int) -> None:
        for each in range(count):
            await self.emit("item", (number, make(each, label_size).model_dump()), to=sid)
            # emit() does not wait: without a pause, unwritten events would fill memory.
            if each % 100 == 99:
                await asyncio.sleep(0)
        await self.emit("item", (number, None), to=sid)


class Client(socketio.AsyncClientNamespace):
    """The client's side."""

    def __init__(self) -> None:
        super().__init__("/")
        self._ids = counter()
        self._queues: dict[int, asyncio.Queue[Record | None]] = {}

    async def on_item(self, number: int, record: Json | None) -> None:
        """Handle an item of a stream or channel; None ends a stream."""
        item = None if record is None else Record.model_validate(record)
        self._queues[number].put_nowait(item)

    async def request(self, record: Record, /) -> Record:
        """Send a record, and return the server's copy."""
        return Record.model_validate(await self.call("echo", record.model_dump()))

    @asynccontextmanager
    async def stream(
        self, count: int, label_size: int
    ) -> AsyncGenerator[AsyncIterator[Record], None]:
        """Open a stream."""
        number = next(self._ids)
        queue = self._queues[number] = asyncio.Queue()
        await self.emit("stream", (number, count, label_size))
        yield _read(queue)
        del self._queues[number]

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator["Channel", None]:
        """Open a channel."""
        number = next(self._ids)
        queue = self._queues[number] = asyncio.Queue()
        yield Channel(self, number, queue)
        del self._queues[number]


async def _read(queue: asyncio.Queue[Record | None]) -> AsyncGenerator[Record, None]:
    while (record := await queue.get()) is not None:
        yield record


class Channel:
    """An open channel."""

    def __init__(self, client: Client, number: int, queue: asyncio.Queue[Record | None]) -> None:
        self._client = client
        self._id = number
        self._queue = queue

    async def round_trip(self, record: Record, /) -> Record:
        """Send a record, and wait until it comes back."""
        await self._client.emit("item", (self._id, record.model_dump()))
        back = await self._queue.get()
        assert back is not None  # noqa: S101 # the server does not end a channel
        return back


async def serve(path: str, ready: Callable[[], None]) -> None:
    """Serve until cancelled."""
    server = socketio.AsyncServer(
        async_mode="aiohttp",
        json=MsgspecJson,
        transports=["websocket"],
        http_compression=False,
    )
    server.register_namespace(Serving())
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, path, backlog=1000).start()
    ready()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connect(path: str) -> AsyncGenerator[Client, None]:
    """Connect."""
    async with open_client(aiohttp.UnixConnector(path), "http://localhost") as client:
        yield client


@asynccontextmanager
async def open_client(connector: aiohttp.BaseConnector, url: str) -> AsyncGenerator[Client, None]:
    """Connect to a URL."""
    async with aiohttp.ClientSession(connector=connector) as session:
        socket = socketio.AsyncClient(
            http_session=session, json=MsgspecJson, handle_sigint=False, reconnection=False
        )
        client = Client()
        socket.register_namespace(client)
        await socket.connect(url, transports=["websocket"])
        try:
            yield client
        finally:
            await socket.disconnect()
