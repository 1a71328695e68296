"""The HTTP library, aiohttp, behind the interface of ``answers``. No other module imports it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from ssl import SSLContext
from typing import Final, Literal, TypeAlias

import aiohttp
from typing_extensions import override
from yarl import URL

from enkaku.errors import UsageError
from enkaku.transports.sockets.options import KEEPALIVE, set_keepalive

from .answers import Answer, HttpFailure

__all__ = ["ConnectionPool", "PoolOptions"]

# Seconds. Servers keep idle connections for 5 and longer; on one that the server has just closed, a POST would be lost.
_KEEPALIVE: Final = 4.0
_ORDERED: Final = 8  # the feed, what is written to its calls, and aborts
_LARGE: Final = (
    256 * 1024
)  # bytes of a body that is written in pieces, between which other tasks run
_UNREACHABLE: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)


_Address: TypeAlias = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]
]
"""An item of ``socket.getaddrinfo``."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How a server is reached.

    Attributes:
        url: The URL.
        headers: Headers of each request.
        cookies: Cookies of each request, until the server sets others.
        ssl: How to verify the server; None is as browsers do.
        proxy: The URL of a proxy; True takes that of the environment, None uses none.
        connect_timeout: Time limit of opening a connection, in seconds.
    """

    url: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    ssl: SSLContext | None
    proxy: str | Literal[True] | None
    connect_timeout: float

    def check(self) -> None:
        """Raise UsageError unless the URL is one of an HTTP server, and the proxy, too."""
        self.parse_url()
        if isinstance(self.proxy, str):
            _parse("proxy: ", self.proxy, "http://proxy.example:3128")

    def parse_url(self) -> URL:
        """Return the URL.

        Raises:
            UsageError: It is none of an HTTP server.
        """
        return _parse("", self.url, "https://example.com/rpc")

    @property
    def peer(self) -> str:
        """The URL without user name, password and query, which may be secrets, for log lines and error messages."""
        return str(self.parse_url().with_user(None).with_query(None).with_fragment(None))


def _parse(name: str, text: str, example: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise UsageError(f"{name}{text!r} is not a URL: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise UsageError(f"{name}{text!r} is not a URL of an HTTP server, such as {example!r}")
    return url


class ConnectionPool:
    """An ``HttpClient``.

    Args:
        options: How the server is reached.
        size: How many requests may be on their way at the same time; others wait. Ordered ones have a limit of their own.
    """

    def __init__(self, options: PoolOptions, size: int) -> None:
        self._url: Final = options.parse_url()
        self._proxy: Final = options.proxy if isinstance(options.proxy, str) else None
        self._requests: Final = asyncio.Semaphore(size)
        self._ordered: Final = asyncio.Semaphore(_ORDERED)
        cookies = aiohttp.CookieJar(unsafe=True)
        if options.cookies:
            cookies.update_cookies(dict(options.cookies), self._url)
        connector = _Connector(
            limit=0,
            keepalive_timeout=_KEEPALIVE,
            ssl=True if options.ssl is None else options.ssl,
            socket_factory=_make_socket,
        )
        self._unsent: Final[set[asyncio.Task[object] | None]] = set()
        connector.unsent = self._unsent
        self._session: Final = aiohttp.ClientSession(
            connector=connector,
            headers={"accept-encoding": "identity"} | dict(options.headers),
            cookie_jar=cookies,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout),
            trust_env=options.proxy is True,
            auto_decompress=False,
        )

    async def send(
        self,
        method: str,
        headers: Mapping[str, str],
        body: Callable[[], bytes] | None = None,
        *,
        ordered: bool = False,
    ) -> Answer:
        """Send a request; wait for the head of the answer, however long that takes."""
        free = self._ordered if ordered else self._requests
        task = asyncio.current_task()
        self._unsent.add(task)
        try:
            await free.acquire()
            try:
                data = None if body is None else body()
                return _Response(await self._send(method, headers, data), free.release)
            except BaseException:
                free.release()
                raise
        finally:
            self._unsent.discard(task)

    def is_unsent(self, task: asyncio.Task[object]) -> bool:
        """Return whether a task waits for a connection, so that nothing of its request was sent."""
        return task in self._unsent

    async def _send(
        self, method: str, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.request(
                method,
                self._url,
                data=body if body is None or len(body) <= _LARGE else BytesIO(body),
                headers=headers,
                proxy=self._proxy,
                allow_redirects=False,
            )
        except _UNREACHABLE as error:
            raise HttpFailure(_describe(error), unreachable=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise HttpFailure(_describe(error)) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class _Connector(aiohttp.TCPConnector):
    """Removes each task that gets a connection from ``unsent``."""

    unsent: set[asyncio.Task[object] | None]

    @override
    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        self.unsent.discard(asyncio.current_task())
        return connection


class _Response:
    """An ``Answer``."""

    def __init__(self, response: aiohttp.ClientResponse, release: Callable[[], None]) -> None:
        self._response: Final = response
        self._release: Callable[[], None] | None = release
        self.status: Final = response.status

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise HttpFailure(_describe(error)) from error

    async def close(self) -> None:
        self._response.close()  # the connection, too, unless the answer was complete
        release, self._release = self._release, None
        if release is not None:
            release()


def _make_socket(address: _Address) -> socket.socket:
    """Return a socket with TCP keepalive: without it, a feed would never end whose server has vanished."""
    sock = socket.socket(*address[:3])
    set_keepalive(sock, KEEPALIVE)
    return sock


def _describe(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message  # its text has the whole URL
    return str(error) or type(error).__name__
