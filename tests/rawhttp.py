"""An HTTP client of tests that need not keep to the protocol: requests as they are written, responses as they come."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

import h11
from support import WITHIN, line

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Response:
    """A whole response."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def payload(self) -> dict[str, Any]:
        return dict(self.json["payload"])


class Exchange:
    """One connection to a server, which carries one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self._events = b""

    def start(
        self, body: bytes = b"", method: str = "POST", path: str = "/", **headers: str
    ) -> None:
        """Send a request; underscores in names of headers are hyphens."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        named = {"host": "127.0.0.1", "content-length": str(len(body))}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = h11.Request(method=method, target=path, headers=list(named.items()))
        events = [request, *([h11.Data(body)] if body else []), h11.EndOfMessage()]
        self.writer.write(b"".join(self._http.send(event) or b"" for event in events))

    async def event(self) -> Any:
        """Return the next event of the response."""
        async with asyncio.timeout(WITHIN):
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self.reader.read(65536))
        return event

    async def head(self) -> tuple[int, Headers]:
        event = await self.event()
        assert isinstance(event, h11.Response), event
        return event.status_code, {
            name.decode(): value.decode("latin-1") for name, value in event.headers
        }

    async def response(self) -> Response:
        status, headers = await self.head()
        return Response(status, headers, await self.rest())

    async def rest(self) -> bytes:
        parts: list[bytes] = []
        while isinstance(event := await self.event(), h11.Data):
            parts.append(bytes(event.data))
        assert isinstance(event, h11.EndOfMessage), event
        return b"".join(parts)

    async def post(self, body: bytes, **headers: str) -> Response:
        self.start(body, **headers)
        return await self.response()

    async def message(self) -> dict[str, Any]:
        """Return the payload of the next server-sent event, without comments."""
        while True:
            event, separator, rest = self._events.partition(b"\n\n")
            if not separator:
                data = await self.event()
                assert isinstance(data, h11.Data), data
                self._events += data.data
                continue
            self._events = rest
            if event.startswith(b"data: "):
                return dict(json.loads(event[6:])["payload"])
            assert event == b":", event

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Site:
    """The address of a server, and connections to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._open: list[Exchange] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._open:
            await each.close()

    async def connect(self) -> Exchange:
        exchange = Exchange(*await asyncio.open_connection("127.0.0.1", self.port))
        self._open.append(exchange)
        return exchange

    async def post(self, body: bytes = b"", method: str = "POST", **headers: str) -> Response:
        """Send a request on a connection of its own, and return the response."""
        exchange = await self.connect()
        exchange.start(body, method, **headers)
        try:
            return await exchange.response()
        finally:
            await exchange.close()

    async def feed(self, body: bytes, **headers: str) -> "Feed":
        """Open a session."""
        exchange = await self.connect()
        exchange.start(body, accept="text/event-stream", **headers)
        status, got = await exchange.head()
        assert status == 200, status
        return Feed(exchange, got)


@dataclass
class Feed:
    """An open feed."""

    exchange: Exchange
    headers: Headers

    @property
    def id(self) -> str:
        return self.headers["enkaku-session-id"]

    async def message(self) -> dict[str, Any]:
        return await self.exchange.message()

    async def close(self) -> None:
        await self.exchange.close()


def message(**payload: object) -> bytes:
    """Write a message of a client, with whatever payload."""
    return line(**payload)[:-1]


@asynccontextmanager
async def site(port: int) -> AsyncGenerator[Site, None]:
    async with Site(port) as made, asyncio.timeout(3 * WITHIN):
        yield made
