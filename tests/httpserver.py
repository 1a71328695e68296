"""An HTTP server that answers as a test says, byte by byte: each POST waits until the test has answered it."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

import enkaku
from support import LONG, WITHIN, line

EXT = {"enkaku-ext": "1"}
JSON = {"content-type": "application/json"}
FEED = {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "transfer-encoding": "chunked",
}


def message(**payload: object) -> bytes:
    """Write a message."""
    return line(**payload)[:-1]


def event(**payload: object) -> bytes:
    """Write an event of the feed."""
    return b"data: " + message(**payload) + b"\n\n"


class Post:
    """A request that has come, and its answer."""

    def __init__(
        self,
        transport: asyncio.Transport,
        on_end: Callable[[], None],
        first: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        self._transport = transport
        self._on_end = on_end
        self.method, self.target, _ = first.split(" ")
        self.headers = headers
        self.body = body
        self.lost = asyncio.Event()
        self.began = False

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(part)["payload"] for part in self.body.splitlines()]

    @property
    def payload(self) -> dict[str, Any]:
        (payload,) = self.payloads
        return payload

    @property
    def header(self) -> dict[str, Any]:
        header: dict[str, Any] = json.loads(self.body)["header"]
        return header

    @property
    def typ(self) -> str:
        typ: str = self.payloads[0]["typ"]
        return typ

    @property
    def rid(self) -> str:
        rid: str = self.payloads[0]["rid"]
        return rid

    def raw(self, data: bytes) -> None:
        """Send bytes of an answer."""
        self.began = True
        self._transport.write(data)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Strange"
        self.raw(f"HTTP/1.1 {status} {phrase}\r\n{fields}\r\n".encode())

    def answer(
        self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] = JSON
    ) -> None:
        """Send a whole answer."""
        body = b"" if status in {204, 304} else body
        sizes = {} if status == 204 else {"content-length": str(len(body))}
        self.head(status, {**headers, **EXT, **sizes})
        self.raw(body)
        self.finish()

    def result(self, val: object = None) -> None:
        """Answer a request."""
        self.answer(200, message(typ="result", rid=self.rid, val=val))

    def feed(self, session: str = "s1") -> None:
        """Begin the feed."""
        self.head(200, {**FEED, **EXT, "enkaku-session-id": session})
        self.chunk(b":\n\n")

    def chunk(self, data: bytes) -> None:
        """Send bytes of the feed."""
        self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """End the feed as HTTP does."""
        self.raw(b"0\r\n\r\n")
        self.finish()

    def finish(self) -> None:
        """Take the next request of the connection: the answer is complete."""
        self._on_end()

    def cut(self) -> None:
        """Close the connection, after what was sent."""
        self._transport.close()

    def reset(self) -> None:
        """Close the connection at once."""
        self._transport.abort()


class _Protocol(asyncio.Protocol):
    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._data = b""
        self._post: Post | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._server.opened += 1
        self._server.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._post is not None:
            self._post.lost.set()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end or self._post is not None or self._server.answered_early:
            return
        first, *fields = head.decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (field.partition(": ") for field in fields)
        }
        size = int(headers.get("content-length", 0))
        if len(rest) < size:
            if self._server.early is not None:
                self._server.answered_early = True
                self._server.early(Post(self.transport, self.transport.close, first, headers, b""))
            return
        self._data = rest[size:]
        self._post = Post(self.transport, self._on_end, first, headers, rest[:size])
        self._server.take(self._post)

    def _on_end(self) -> None:
        self._post = None


class HttpServer:
    """Answers each GET with ``probe``, and leaves POSTs to the test."""

    def __init__(self, probe: Callable[[Post], None], tls: ssl.SSLContext | None) -> None:
        self.probe = probe
        self._tls = tls
        self.posts: asyncio.Queue[Post] = asyncio.Queue()
        self.connections: set[_Protocol] = set()
        self.early: Callable[[Post], None] | None = None  # answers before the body has come
        self.answered_early = False
        self.opened = 0
        self.probes = 0
        self.port = 0
        self._all: list[Post] = []
        self._answers_all = False
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/rpc"

    def take(self, post: Post) -> None:
        if post.method == "GET":
            self.probes += 1
            self.probe(post)
        elif self._answers_all:
            post.answer(204)
        else:
            self._all.append(post)
            self.posts.put_nowait(post)

    def answer_all(self) -> None:
        """Answer each POST that has no answer, and those that come: the test is over."""
        self._answers_all = True
        for post in self._all:
            if not (post.began or post.lost.is_set()):
                post.answer(204)

    async def next(self) -> Post:
        """Return the next POST."""
        async with asyncio.timeout(WITHIN):
            return await self.posts.get()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Protocol(self), "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and reset those that are open."""
        if self._listener is not None:
            self._listener.close()
            for connection in tuple(self.connections):
                connection.transport.abort()
            await self._listener.wait_closed()
            self._listener = None


def ours(get: Post) -> None:
    """Answer a GET as this library's server does."""
    get.answer(405, b'{"error":"Method not allowed"}', {"allow": "POST, OPTIONS"})


def foreign(get: Post) -> None:
    """Answer a GET as the TypeScript implementation does."""
    body = b'{"error":"Method not allowed"}'
    get.head(405, {"allow": "POST, OPTIONS", "content-length": str(len(body))})
    get.raw(body)
    get.finish()


@asynccontextmanager
async def http_server(
    probe: Callable[[Post], None] = ours, *, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[HttpServer, None]:
    """Listen at a free port."""
    server = HttpServer(probe, tls)
    await server.open()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def facing_http(
    probe: Callable[[Post], None] = ours, **options: Any
) -> AsyncGenerator[tuple[enkaku.Connection, HttpServer], None]:
    """A connection over HTTP, and the server that the test plays."""
    async with http_server(probe) as server:
        async with enkaku.connect_http(server.url, **options) as connection:
            try:
                async with asyncio.timeout(LONG):
                    yield connection, server
            finally:
                server.answer_all()
