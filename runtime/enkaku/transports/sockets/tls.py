"""TLS as a state machine over memory buffers: encrypted bytes in, encrypted bytes out.

The transport feeds it what it receives, and sends ``take_outgoing`` after each other call. Half-close: ``end`` sends
close_notify, after which this side still reads until the peer's. asyncio's own TLS cannot do that: it resets a
connection whose peer still sends when this side has ended, and so loses the last replies.
"""

import os
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from enkaku.errors import UsageError
from enkaku.transports.base import Certificate

from .peer_certificate import peer_certificate

__all__ = ["MakeTls", "Tls", "client_tls", "server_context", "server_tls"]

_RECORD: Final = 16 * 1024  # bytes, the longest TLS record and so the longest read of OpenSSL


class Tls:
    """One side of one TLS connection.

    Args:
        context: Trusted certificates, and this side's own.
        server_side: Whether this is the server's side.
        server_hostname: The name that the server's certificate must have; for the client's side.

    Attributes:
        ended: Whether the peer has sent close_notify.

    Raises:
        ValueError: ``server_hostname`` is not a valid name.
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
        """Buffer bytes that were received."""
        self._incoming.write(data)

    def take_outgoing(self) -> bytes:
        """Return and clear the bytes to send; each of the other methods may have added some."""
        return self._outgoing.read()

    def continue_handshake(self) -> bool:
        """Continue the handshake, and return whether it is done.

        Raises:
            ssl.SSLError: One side rejects the other.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    @property
    def certificate(self) -> Certificate | None:
        """The verified certificate of the peer, after the handshake; None without one.

        Raises:
            ValueError: The certificate cannot be read.
        """
        return peer_certificate(self._object)

    def read(self) -> tuple[bytes, ssl.SSLError | None]:
        """Return the decrypted bytes that are available, and the error that ended the connection, if any."""
        chunks: list[bytes] = []
        error: ssl.SSLError | None = None
        try:
            while chunk := self._object.read(_RECORD):
                chunks.append(chunk)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # close_notify, after this side has sent its own
            self.ended = True
        except ssl.SSLError as failed:
            error = failed
        return b"".join(chunks), error

    def write(self, data: bytes) -> None:
        """Encrypt bytes for the peer.

        Raises:
            ssl.SSLError: The connection is broken, or the peer asks for renegotiation, which TLS 1.3 has removed.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[self._object.write(rest) :]

    def end(self) -> None:
        """Send close_notify; this side can still read."""
        try:
            self._object.unwrap()
        except ssl.SSLError:  # usually: the peer's close_notify has not arrived yet
            return


MakeTls: TypeAlias = Callable[[], Tls]
"""Makes this side of TLS for a new connection."""


def client_tls(context: ssl.SSLContext, server_hostname: str) -> MakeTls:
    """Return a factory of the client's side."""
    _require_context(context)
    return partial(Tls, context, server_side=False, server_hostname=server_hostname)


def server_tls(context: ssl.SSLContext) -> MakeTls:
    """Return a factory of the server's side."""
    _require_context(context)
    return partial(Tls, context, server_side=True)


def server_context(
    given: ssl.SSLContext | tuple[str | os.PathLike[str], str | os.PathLike[str]],
) -> ssl.SSLContext:
    """Return the context of a server that is given by itself, or by the files of its certificate and key.

    Raises:
        UsageError: The files cannot be read, or ``given`` is neither.
    """
    if isinstance(given, tuple) and len(given) == 2:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(*given)
        except (OSError, TypeError) as error:
            raise UsageError(f"ssl: cannot load certificate and key {given!r}: {error}") from error
        return context
    _require_context(given)
    return given


def _require_context(context: object) -> None:
    if not isinstance(context, ssl.SSLContext):
        raise UsageError(
            "ssl must be an ssl.SSLContext, such as ssl.create_default_context() returns; "
            f"got {context!r}"
        )
