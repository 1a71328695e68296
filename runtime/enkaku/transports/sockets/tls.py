"""TLS as a state machine: bytes in, bytes out.

asyncio's own TLS is not used since it resets a connection whose peer still sends when this side has ended, and so loses the
last replies.
"""

import ssl
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from enkaku.errors import UsageError

__all__ = ["MakeTls", "Tls", "client_tls", "server_tls"]

_RECORD: Final = 16 * 1024  # bytes that OpenSSL gives at once, at the most


class Tls:
    """One side of one TLS connection.

    Args:
        context: Whom to trust, and what to show.
        server_side: Which side it is.
        server_hostname: The name that the server's certificate must have; for the client's side.

    Attributes:
        ended: Whether the peer has said that nothing more comes.

    Raises:
        ValueError: The name cannot be a server's.
    """

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        self.ended = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
        )

    def feed(self, data: bytes) -> None:
        """Take what came from the network."""
        self._incoming.write(data)

    def take_outgoing(self) -> bytes:
        """Return what is to be sent: after each of the other methods there may be something."""
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        """Go on with the handshake, and return whether it is done.

        Raises:
            ssl.SSLError: The peer is refused, or refuses.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def read(self) -> tuple[bytes, ssl.SSLError | None]:
        """Return all that can be read, and what ends the reading, if it is an error."""
        chunks: list[bytes] = []
        error: ssl.SSLError | None = None
        try:
            while chunk := self._object.read(_RECORD):
                chunks.append(chunk)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # the same end, where this side has ended as well
            self.ended = True
        except ssl.SSLError as failed:
            error = failed
        return b"".join(chunks), error

    def write(self, data: bytes) -> None:
        """Take what is to be sent to the peer.

        Raises:
            ssl.SSLError: The connection is broken; or the peer wants to negotiate anew, which TLS 1.3 knows no more.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self._object.write(rest) :]

    def end(self) -> None:
        """Say that nothing more comes; what the peer still sends can be read."""
        try:
            self._object.unwrap()
        except ssl.SSLError:  # as a rule that the peer has not said it yet
            return


MakeTls: TypeAlias = Callable[[], Tls]
"""Makes this side of a new connection."""


def client_tls(context: ssl.SSLContext, server_hostname: str) -> MakeTls:
    """Return what makes the client's side."""
    _require_context(context)
    return partial(Tls, context, server_side=False, server_hostname=server_hostname)


def server_tls(context: ssl.SSLContext) -> MakeTls:
    """Return what makes the server's side."""
    _require_context(context)
    return partial(Tls, context, server_side=True)


def _require_context(context: object) -> None:
    if not isinstance(context, ssl.SSLContext):
        raise UsageError(
            f"ssl is an ssl.SSLContext, as ssl.create_default_context() makes it, and not {context!r}"
        )
