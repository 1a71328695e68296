"""Authenticators: code of a program that finds out who calls from a token, a header, or what else comes with a call."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

from enkaku.transports.request import HttpRequest

from .callers import Identity
from .info import ConnectionInfo

__all__ = ["Authenticator", "Proof"]

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Proof:
    """What comes with a call, or with a login, and may prove who calls. Its values are secrets, which its ``repr`` leaves out.

    Attributes:
        metadata: The metadata of the call.
        connection: The connection that carries it.
        request: The HTTP request that carries it, or the WebSocket's handshake; None over other transports.
    """

    __slots__ = ("connection", "metadata", "request")

    def __init__(
        self,
        metadata: Mapping[str, str],
        connection: ConnectionInfo,
        request: HttpRequest | None = None,
    ) -> None:
        self.metadata: Final = metadata
        self.connection: Final = connection
        # A session over HTTP has been opened by another request than the one that carries this call.
        self.request: Final = request or connection.request

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of ``request`` that the server's ``proof_headers`` name; to look up another one raises UsageError."""
        return _NO_HEADERS if self.request is None else self.request.proofs

    def __repr__(self) -> str:
        return f"<proof from {self.connection.peer}>"


@runtime_checkable
class Authenticator(Protocol):
    """Finds out who calls. Registered by a name, it may return only identities whose id begins with that name and a colon."""

    async def authenticate(self, proof: Proof) -> Identity | None:
        """Return who calls; None if there is no proof of this kind.

        Raises:
            AuthenticationFailed: There is one, and it is not valid: the call is rejected.
        """
        ...
