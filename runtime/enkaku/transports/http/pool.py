"""The HTTP library, aiohttp, behind the interface of ``answers``. No other module imports it."""

import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from ssl import SSLContext
from typing import Final, Literal, TypeAlias

import aiohttp
from yarl import URL

from enkaku.errors import UsageError
from enkaku.transports.sockets.options import KEEPALIVE, set_keepalive

from .answers import Answer, HttpFailure

__all__ = ["ConnectionPool", "PoolOptions"]

# Seconds. Servers keep idle connections for 5 and longer; on one that the server has just closed, a POST would be lost.
_KEEPALIVE: Final = 4.0
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
        size: How many connections may be open at the same time; further requests wait.
        shared: Another pool, whose cookies this one has, too.

    Attributes:
        cookies: Those that the server has set.
    """

    def __init__(
        self, options: PoolOptions, size: int, *, shared: "ConnectionPool | None" = None
    ) -> None:
        self._url: Final = options.parse_url()
        self._proxy: Final = options.proxy if isinstance(options.proxy, str) else None
        self.cookies: Final[aiohttp.CookieJar] = (
            aiohttp.CookieJar(unsafe=True) if shared is None else shared.cookies
        )
        if shared is None and options.cookies:
            self.cookies.update_cookies(dict(options.cookies), self._url)
        self._session: Final = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=size,
                keepalive_timeout=_KEEPALIVE,
                ssl=True if options.ssl is None else options.ssl,
                socket_factory=_make_socket,
            ),
            headers={"accept-encoding": "identity"} | dict(options.headers),
            cookie_jar=self.cookies,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=options.connect_timeout),
            trust_env=options.proxy is True,
            auto_decompress=False,
        )

    async def send(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Answer:
        """Send a request; wait for the head of the answer, however long that takes."""
        try:
            response = await self._session.request(
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
        return _Response(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


class _Response:
    """An ``Answer``."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response: Final = response
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


def _make_socket(address: _Address) -> socket.socket:
    """Return a socket with TCP keepalive: without it, a feed would never end whose server has vanished."""
    sock = socket.socket(*address[:3])
    set_keepalive(sock, KEEPALIVE)
    return sock


def _describe(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message  # its text has the whole URL
    return str(error) or type(error).__name__
