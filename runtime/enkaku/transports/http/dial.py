"""HTTP connector: opens a client's transport, and asks the server what it is."""

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec

from enkaku._checks import require_seconds, require_whole
from enkaku.errors import ConnectFailed, UsageError

from .answers import HttpFailure, read_body, status_error
from .client import HttpTransport
from .pool import ConnectionPool, PoolOptions

__all__ = ["HttpDialer"]

_METHOD_NOT_ALLOWED: Final = 405
_UNAVAILABLE: Final = frozenset({502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SHOWN: Final = 200  # characters of a URL that the server chose
_BODY: Final = 64 * 1024
_TOO_OLD: Final = "its release is older than 0.14.1, which is not supported"


class _Session(msgspec.Struct):
    id: str


_session: Final = msgspec.json.Decoder(_Session)


@dataclass(frozen=True, slots=True)
class HttpDialer:
    """Connects to one URL at each call; a ``Dial``.

    A GET shows whether there is a server: it allows only POST. Its header ``enkaku-ext`` says whether it is one of this library.

    Attributes:
        options: How the server is reached.
        max_connections: How many requests may be on their way at the same time; further ones wait.
        replaceable: Whether the connection reconnects.
    """

    options: PoolOptions
    max_connections: int
    replaceable: bool

    def __post_init__(self) -> None:
        require_seconds("connect_timeout", self.options.connect_timeout)
        require_whole("max_connections", self.max_connections)
        if self.max_connections < 1:
            raise UsageError(f"max_connections must be 1 or more; got {self.max_connections}")
        self.options.check()

    @property
    def where(self) -> str:
        """The URL, for error messages."""
        return self.options.peer

    @property
    def timeout(self) -> float:
        """The time limit of a connect, in seconds."""
        return self.options.connect_timeout

    async def __call__(self) -> HttpTransport:
        """Connect, and return an open transport, which delivers nothing before its ``start``.

        Raises:
            ConnectFailed: No server answers within the timeout, or it is none that this client can use.
        """
        pool = ConnectionPool(self.options, self.max_connections)
        try:
            async with asyncio.timeout(self.timeout):
                flow_control = await self._ask(pool)
        except TimeoutError:
            await pool.close()
            raise ConnectFailed(
                f"{self.where}: no server answered within {self.timeout:g} s"
            ) from None
        except BaseException:
            await pool.close()
            raise
        return HttpTransport(
            pool,
            peer=self.where,
            flow_control=flow_control,
            replaceable=self.replaceable,
        )

    async def _ask(self, pool: ConnectionPool) -> bool:
        """Return whether the server is one of this library."""
        try:
            answer = await pool.send("GET", {"accept": "application/json"})
            flow_control = answer.header("enkaku-ext") == "1"
            body = await read_body(answer, _BODY)
        except HttpFailure as failure:
            raise ConnectFailed(f"{self.where}: {failure}") from failure
        if answer.status in _REDIRECTS:
            to = answer.header("location")[:_SHOWN]
            raise ConnectFailed(
                f"{self.where}: the server redirects to {to!r}: connect to that URL"
            )
        if answer.status != _METHOD_NOT_ALLOWED:
            raise ConnectFailed(f"{self.where}: {_describe(answer.status, body)}")
        return flow_control


def _describe(status: int, body: bytes) -> str:
    """Return why a server that answers a GET in this way cannot be used."""
    old = b"Missing session ID" in body
    if status < 300:
        try:
            old = bool(_session.decode(body).id)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            old = False
    if old:
        return f"the server is one of the TypeScript implementation, but {_TOO_OLD}"
    if status in _UNAVAILABLE:
        return f"the server is stopping, or not available (HTTP status {status})"
    text = status_error(status, body).message.removeprefix("Transport request failed with ")
    return f"there is no Enkaku server: a GET was answered with {text}, instead of 405"
