"""Metadata of calls and connections, as observers, interceptors and handlers see it; the same on both sides."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import (
    Concatenate,
    Final,
    Generic,
    Literal,
    Never,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from enkaku.errors import UsageError
from enkaku.procedures import Procedure
from enkaku.transports.base import Certificate, PeerCredentials
from enkaku.transports.request import HttpRequest
from enkaku.wire.metadata import NO_METADATA

from .callers import Identity
from .deadlines import left

__all__ = ["Call", "ConnectionInfo", "End", "Outcome", "State", "StateKey", "Watched"]


class Watched:
    """Base of objects that a program may refer to weakly, and put attributes of its own on."""


T = TypeVar("T")
D = TypeVar("D")
P = ParamSpec("P")

Outcome: TypeAlias = Literal["result", "error", "aborted", "lost"]
"""How a call ended: with its result, with an error (see ``code``), aborted by the client, or because the connection was lost."""


class StateKey(Watched, Generic[T]):
    """The key of a value of type ``T`` in the state of a connection or call; compared by identity, not by name.

    Args:
        name: For its ``repr``.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def __repr__(self) -> str:
        return f"StateKey({self.name!r})"


class State:
    """Values that a program keeps with a connection or call, by typed keys."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[object, object] = {}

    def __getitem__(self, key: StateKey[T]) -> T:
        return cast(T, self._values[key])

    def __setitem__(self, key: StateKey[T], value: T) -> None:
        self._values[key] = value

    def __delitem__(self, key: StateKey[T]) -> None:
        del self._values[key]

    def __contains__(self, key: StateKey[T]) -> bool:
        return key in self._values

    @overload
    def get(self, key: StateKey[T]) -> T | None: ...
    @overload
    def get(self, key: StateKey[T], default: D) -> T | D: ...
    def get(self, key: StateKey[T], default: D | None = None) -> T | D | None:
        """Return the value of a key, or the default where there is none."""
        return cast(T | D | None, self._values.get(key, default))


class End(Protocol):
    """A session, as the information about its connection needs it."""

    def list_calls(self) -> "Iterable[Call]":
        """Return the calls that have not ended, oldest first."""
        ...

    def connect_peer(self) -> object:
        """Return the connection that makes calls to the other end; None if none can be made."""
        ...


class ConnectionInfo(Watched):
    """A connection, as observers, interceptors and handlers see it.

    Attributes:
        peer: The address of the other end, such as ``"tcp:127.0.0.1:53122"``.
        credentials: The process at the other end of a Unix socket; None where the operating system does not know it.
        certificate: The verified TLS certificate of the other end of a socket; None without one, and over HTTP.
        request: The HTTP request of a client over HTTP or WebSocket, with its headers; None over other transports, and at
            the client.
        opened: When it was opened, by ``time.monotonic()``.
    """

    __slots__ = (
        "_end",
        "_login",
        "_peer",
        "_state",
        "certificate",
        "credentials",
        "opened",
        "peer",
        "request",
    )

    def __init__(
        self,
        peer: str,
        credentials: PeerCredentials | None,
        end: End | None = None,
        *,
        certificate: Certificate | None = None,
        request: HttpRequest | None = None,
    ) -> None:
        self.peer: Final = peer
        self.credentials: Final = credentials
        self.certificate: Final = certificate
        self.request: Final = request
        self.opened: Final = time.monotonic()
        self._state: State | None = None  # made at its first use, since most connections need none
        self._end = end
        self._peer: ConnectionInfo | None = None  # another connection to it, which carries calls
        self._login: Identity | None = None

    def log_in(self, identity: Identity | None) -> None:
        """Set, or remove, the identity that the other end has logged in with. Called by the session."""
        self._login = identity

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Who is at the other end, by each proof that belongs to the connection: a login, a TLS certificate, a Unix user.

        A certificate that has expired since the connection was opened proves nothing.
        """
        found = () if self._login is None else (self._login,)
        certificate, credentials = self.certificate, self.credentials
        if certificate is not None and time.time() < certificate.not_after:
            found = (*found, _certified(certificate))
        if credentials is not None:
            claims = {"pid": credentials.pid, "uid": credentials.uid, "gid": credentials.gid}
            found = (*found, Identity(f"unix:{credentials.uid}", "unix", claims))
        return found

    @property
    def identity(self) -> Identity | None:
        """The first of ``identities``; None if nothing was proven."""
        return next(iter(self.identities), None)

    def share_peer(self, other: "ConnectionInfo") -> None:
        """Call the other end through another connection to it. Called by the session."""
        self._peer = other

    def leads_to(self, connection: object) -> bool:
        """Return whether calls through a connection reach the other end of this one."""
        return connection is (self._peer or self)

    def client(
        self,
        make: "Callable[Concatenate[Never, P], T]",
        /,
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """Return a client that calls the other end: at the server the client's handler, at the client the server.

        Args:
            make: A generated client class.
            arguments: Further arguments of the class.
            options: The same by name, such as ``prefix``.

        Raises:
            UsageError: The server was made without a way to call its clients, by ``Server()`` itself.
        """
        end = (self._peer or self)._end  # noqa: SLF001 # of the same class
        connection = None if end is None else end.connect_peer()
        if connection is None:
            raise UsageError(f"client(): no calls can be made on this connection to {self.peer}")
        return cast("Callable[..., T]", make)(connection, *arguments, **options)

    @property
    def state(self) -> State:
        """Values that the program keeps with the connection."""
        if self._state is None:
            self._state = State()
        return self._state

    @property
    def calls(self) -> "tuple[Call, ...]":
        """The calls that have not ended, oldest first; on the server, those whose handlers still run."""
        return () if self._end is None else tuple(self._end.list_calls())

    @property
    def duration(self) -> float:
        """How long it has been open, in seconds."""
        return time.monotonic() - self.opened

    def __repr__(self) -> str:
        return f"<connection to {self.peer}, {len(self.calls)} open calls>"


def _certified(certificate: Certificate) -> Identity:
    claims = {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "sans": certificate.sans,
    }
    name = f"tls:sha256:{certificate.fingerprint}"
    return Identity(name, "tls", claims, expires=certificate.not_after)


class Call(Watched):
    """A call, or an event, as observers and interceptors see it.

    Attributes:
        procedure: The procedure that is called.
        connection: The connection that carries it.
        rid: Its id on the connection; ``""`` for an event, and before it is sent.
        param: Its param or data, as the handler gets it; None where there is none.
        started: When it began, by ``time.monotonic()``.
        attempt: The number of this attempt of the call, on a client: 1, or more if a request or event is sent again.
        due: Its deadline, by ``time.monotonic()``; None without one.
        items_sent: How many items this side has sent.
        items_received: How many items the other side has sent, including those that were dropped.
        bytes_sent: How many bytes of messages this side has sent for it.
        bytes_received: How many bytes of messages the other side has sent for it.
        dropped: How many items this side has dropped, since they were not taken in time.
        outcome: How it ended; None while it is open.
        code: The code of its error; ``""`` if it has not ended with one.
        ended: When it ended, by ``time.monotonic()``; None while it is open.
        metadata: What the client has sent along with the call, such as a token; empty by default. Whoever calls has written it,
            so that it proves nothing by itself. No representation shows it.
    """

    # Defaults of the class: they cost nothing in the calls that leave them as they are.
    param: object = None
    attempt: int = 1
    items_sent: int = 0
    items_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    dropped: int = 0
    outcome: Outcome | None = None
    code: str = ""
    ended: float | None = None
    metadata: Mapping[str, str] = NO_METADATA
    _state: State | None = None
    proven: tuple[Identity, ...] = ()
    """The identities that the message of the call itself proves. Set by the session."""

    def __init__(
        self,
        procedure: Procedure,
        connection: ConnectionInfo,
        started: float,
        due: float | None,
        rid: str = "",
    ) -> None:
        self.procedure = procedure
        self.connection = connection
        self.rid = rid
        self.due = due
        self.started = started

    @property
    def kind(self) -> str:
        """``"event"``, ``"request"``, ``"stream"`` or ``"channel"``."""
        return self.procedure.kind

    @property
    def peer(self) -> str:
        """The address of the other end."""
        return self.connection.peer

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Who is at the other end: by the message of the call itself, and by each proof that belongs to the connection."""
        return (*self.proven, *self.connection.identities)

    @property
    def identity(self) -> Identity | None:
        """The first of ``identities``, by the order: signature, token, TLS certificate, Unix user; None without a proof."""
        return next(iter(self.identities), None)

    @property
    def state(self) -> State:
        """Values that the program keeps with the call, such as from an interceptor for the handler."""
        if self._state is None:
            self._state = State()
        return self._state

    @property
    def remaining(self) -> float | None:
        """How many seconds are left until the deadline, at least 0; None without a deadline."""
        return None if self.due is None else left(self.due)

    @property
    def duration(self) -> float:
        """How long it took, or has taken so far, in seconds."""
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    def __repr__(self) -> str:
        return self.describe("running")

    def describe(self, state: str) -> str:
        """Return its ``repr``, with a word for where it stands while it is open."""
        how = state if self.outcome is None else f"{self.outcome} {self.code}".rstrip()
        items = ""
        if self.kind in ("stream", "channel"):
            items = f", {self.items_sent} items sent, {self.items_received} received"
        return f"<{self.kind} {self.procedure.name} of {self.peer}: {how}{items}, {self.duration:.3f} s>"

    def record_end(self, outcome: Outcome, code: str = "") -> None:
        """Record how it ended; the first end counts. Called by the session."""
        if self.outcome is None:
            self.outcome, self.code, self.ended = outcome, code, time.monotonic()
