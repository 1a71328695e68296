"""Options of connections, servers and calls, and the reconnect policy (``Reconnect``).

The ``check_`` functions raise UsageError for an unknown option or an invalid value, in the call that passes it.
"""

import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, TypedDict, cast

from enkaku.calls.authenticators import Authenticator
from enkaku.calls.hooks import Hook, require_hooks
from enkaku.calls.info import Call
from enkaku.calls.observers import (
    Interceptor,
    Lifespan,
    Observer,
    require_interceptors,
    require_observers,
)
from enkaku.flow.overflow import POLICIES, WhenFull
from enkaku.identity.rate_limits import RateLimiter
from enkaku.wire.metadata import NO_METADATA, copy_metadata, encode_metadata

from ._checks import (
    KeywordOptions,
    require_block_maker,
    require_instances,
    require_known,
    require_one_of,
    require_seconds,
    require_whole,
)
from .errors import UsageError
from .limits import Limits

if TYPE_CHECKING:  # they would make a client start slower
    from enkaku.identity.keys import KeyPair
    from enkaku.identity.messages import Signer
    from enkaku.identity.replays import ReplayGuard

__all__ = [
    "AccessRule",
    "CallOptions",
    "Callbacks",
    "ClientOptions",
    "LoginSource",
    "MetadataSource",
    "Predicate",
    "RateLimits",
    "Reconnect",
    "ServerOptions",
    "StreamOptions",
    "check_call",
    "check_connection",
    "check_server",
    "check_stream",
    "lifespans_of",
    "metadata_of",
    "signer_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect(KeywordOptions):
    """Reconnect policy: exponential backoff with full jitter.

    Each delay is random, from zero to the backoff bound, so that the clients of a restarted server do not all connect at
    once. The bound grows with each attempt. It is reset when a connection has stayed open for at least the last bound;
    a connection that is lost earlier counts as a failed attempt.

    Attributes:
        first: Initial backoff bound, in seconds; 0.1 by default.
        factor: Multiplier of the bound after each attempt; 2 by default.
        longest: Maximum of the bound, in seconds; 30 by default.
        attempts: Maximum number of failed attempts in a row, after which the connection is closed; None, the default, means
            no maximum. By default, the first ten delays take 26 s on average.
        random: Random number generator of the delays; by default, the operating system's.

    Raises:
        UsageError: ``first`` is not positive, ``factor`` is less than 1, ``longest`` is less than ``first`` or infinite, or
            ``attempts`` is less than 1.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 30.0
    attempts: int | None = None
    random: Random = field(default_factory=SystemRandom, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_seconds("Reconnect: first", self.first)
        require_seconds("Reconnect: longest", self.longest)
        if not self.first > 0:
            raise UsageError(f"Reconnect: first must be more than 0 s; got {self.first}")
        if not 1 <= self.factor < math.inf:
            raise UsageError(f"Reconnect: factor must be finite and 1 or more; got {self.factor}")
        if not self.first <= self.longest:
            raise UsageError(
                f"Reconnect: longest must be at least first ({self.first:g} s); got {self.longest}"
            )
        if self.attempts is None:
            return
        require_whole("Reconnect: attempts", self.attempts)
        if self.attempts < 1:
            raise UsageError(f"Reconnect: attempts must be 1 or more; got {self.attempts}")


class CallOptions(TypedDict, total=False):
    """Options of one request or event.

    Attributes:
        timeout: Time limit of the call, in seconds; None means no timeout. By default, the connection's ``timeout``.
        metadata: Strings by name that the server gets with the call, in addition to those of the connection; at most 4 KiB
            as JSON.
    """

    timeout: float | None
    metadata: Mapping[str, str] | None


class StreamOptions(TypedDict, total=False):
    """Options of one stream or channel.

    Attributes:
        timeout: Time limit from the start of the call to its end, in seconds; None, the default, means no timeout.
        when_full: Overflow policy of the receive buffer: what happens to new items when it is full; ``"wait"`` by default.
        metadata: Strings by name that the server gets with the call, in addition to those of the connection; at most 4 KiB
            as JSON.
    """

    timeout: float | None
    when_full: WhenFull
    metadata: Mapping[str, str] | None


MetadataSource: TypeAlias = Mapping[str, str] | Callable[[], Awaitable[Mapping[str, str]]]
"""The metadata of all calls of a connection, or an async function that returns it, called for each attempt of a call."""

LoginSource: TypeAlias = Callable[[], Awaitable[Mapping[str, str]]]
"""An async function that returns the metadata of a login, such as a token."""


class Callbacks(Protocol):
    """A handler, whose methods serve the procedures of a protocol."""

    def __routes__(self) -> Sequence[object]:
        """Return the procedures, and the methods that serve them."""
        ...


class ClientOptions(TypedDict, total=False):
    """Options of a client's connection, all but one: see ``ConnectionOptions``."""

    limits: Limits | None
    timeout: float | None
    observers: Sequence[Observer]
    interceptors: Sequence[Interceptor]
    hooks: Sequence[Hook]
    metadata: MetadataSource | None
    login: LoginSource | None
    reconnect: Reconnect | None
    handler: Callbacks | None
    compare: bool
    identity: "KeyPair | None"
    audience: str | None
    subject: str | None
    capabilities: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits(KeywordOptions):
    """How many calls and events a server accepts in a time; the others are rejected with ``EKP03``.

    Each limit is ``(rate, burst)``: so many a second, and so many at once after a pause (a token bucket). The error's ``data`` has
    ``retry_after``, in seconds.

    Attributes:
        per_identity: Of each caller that has proven an identity; None, the default, for no limit.
        per_connection: Of each connection, or over HTTP of each client address; None, the default, for no limit.

    Raises:
        UsageError: A number is not positive.
    """

    per_identity: tuple[float, int] | None = None
    per_connection: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        for name in ("per_identity", "per_connection"):
            limit: object = getattr(self, name)
            if limit is None:
                continue
            if not isinstance(limit, tuple) or len(cast(tuple[object, ...], limit)) != 2:
                raise UsageError(f"RateLimits: {name} must be (rate, burst); got {limit!r}")
            try:
                RateLimiter(*cast(tuple[float, int], limit))  # which checks the numbers
            except UsageError as error:
                raise UsageError(f"RateLimits: {name}: {error}") from None


Predicate: TypeAlias = Callable[[Call], bool | Awaitable[bool]]
"""Returns whether a call may begin, by who calls (``call.identity``), with what (``call.param``, ``call.metadata``)."""

AccessRule: TypeAlias = Literal["everybody", "identified"] | Collection[str] | Predicate
"""Who may call: everybody, everybody who proves an identity, these identities or subjects, or those whom a function accepts."""


class ServerOptions(TypedDict, total=False):
    """Options of a server.

    Attributes:
        limits: Resource limits and timeouts of the server.
        close_timeout: How long a handler may run after its call was closed, in seconds; 30 by default. Then it is cancelled.
        explain_refusals: Whether to send validation details to the client whose value was rejected. By default, the error
            has none, and the details are logged.
        observers: Notified of calls and connections.
        interceptors: Wrap each handler, and each call that the server makes to a client; the first is outermost. The call
            of a handler is a ``ServerCall``.
        lifespan: Wraps each connection, unlike the lifespan of ASGI, which wraps the application: code to run when a
            connection opens and when it ends. Several, in a list, wrap it together; the first is outermost.
        access: Access rules: who may call, by patterns such as ``"math/*"``. The most specific pattern that matches a procedure
            is the only one that is asked. As soon as there is a rule, here or at a method (``@enkaku.allow``), nobody may
            call a procedure without one.
        authenticators: Find out who calls, from tokens or headers; by names with which the ids begin that they return.
        identity: The server's key. Each message of a client must be signed, and for this server.
        unsigned: With ``identity``, what becomes of messages without a signature: ``"refused"``, the default, or
            ``"if identified"``, where another proof may stand for it.
        replays: With ``identity``, how signed messages are kept from being used twice; by default, a ``ReplayGuard()``.
        rate_limits: How many calls each identity, and each connection, may make.
        describe: Whether the server describes itself: which procedures the caller may call, and their schemas, for
            ``Connection.describe``, commands, and clients with ``compare``. False by default.
    """

    limits: Limits | None
    close_timeout: float
    explain_refusals: bool
    observers: Sequence[Observer]
    interceptors: Sequence[Interceptor]
    lifespan: Lifespan | Sequence[Lifespan] | None
    access: Mapping[str, AccessRule] | None
    authenticators: Mapping[str, Authenticator]
    identity: "KeyPair | None"
    unsigned: Literal["refused", "if identified"]
    replays: "ReplayGuard | None"
    rate_limits: RateLimits | None
    describe: bool


_NAMES: Final[Mapping[str, Collection[str]]] = {
    "a connection (connect_memory: connection_options)": {
        *ClientOptions.__annotations__,
        "lifespan",
    },
    "a server": ServerOptions.__annotations__,
    "a request or event": CallOptions.__annotations__,
    "a stream or channel": StreamOptions.__annotations__,
}
_CONNECTION, _SERVER, _CALL, _STREAM = _NAMES


def check_call(procedure: str, options: CallOptions) -> None:
    """Raise UsageError for an unknown option of a request or event, or an invalid value."""
    require_known(f"{procedure}: {_CALL}", options, _NAMES[_CALL], _NAMES)
    require_seconds("timeout", options.get("timeout"), optional=True, least=None)


def check_stream(procedure: str, options: StreamOptions) -> None:
    """Raise UsageError for an unknown option of a stream or channel, or an invalid value."""
    require_known(f"{procedure}: {_STREAM}", options, _NAMES[_STREAM], _NAMES)
    require_seconds("timeout", options.get("timeout"), optional=True, least=None)
    require_one_of("when_full", options.get("when_full", "wait"), POLICIES)


def metadata_of(procedure: str, options: CallOptions | StreamOptions) -> Mapping[str, str]:
    """Return a read-only copy of a call's own metadata.

    Raises:
        UsageError: It is not valid.
    """
    metadata: object = options.get("metadata")
    return NO_METADATA if metadata is None else _copy(metadata, f"{procedure}: metadata")


def _copy(metadata: object, where: str) -> Mapping[str, str]:
    copied = copy_metadata(metadata, where)
    encode_metadata(copied, where)  # it may be too large
    return copied


def check_connection(options: ClientOptions, own: Collection[str] = ()) -> None:
    """Raise UsageError for an unknown option of a connection, or an invalid value.

    Args:
        options: The options.
        own: The names of the other keyword arguments of the function that gets them, for a hint.
    """
    require_known("a connection", options, {*_NAMES[_CONNECTION], *own}, _NAMES)
    _require_common(
        options.get("limits"), options.get("observers", ()), options.get("interceptors", ())
    )
    require_hooks(options.get("hooks", ()))
    metadata = options.get("metadata")
    if metadata is not None and not callable(metadata):
        _copy(metadata, "metadata")
    login: object = options.get("login")
    if login is not None and not callable(login):
        raise UsageError(
            "login: it must be an async function without arguments, which returns the metadata of the login"
        )
    require_seconds("timeout", options.get("timeout"), optional=True)
    reconnect = options.get("reconnect")
    if reconnect is not None:
        require_instances("reconnect", [reconnect], Reconnect)
    lifespan = cast("Mapping[str, object]", options).get("lifespan")
    if lifespan is not None:
        require_block_maker("a lifespan", lifespan)
    require_instances("compare", [options.get("compare", False)], bool)
    signer_of(options)


def signer_of(options: ClientOptions) -> "Signer | None":
    """Return what signs the messages of a client; None for one without an identity.

    Raises:
        UsageError: An option of the identity is missing or not valid.
    """
    identity = options.get("identity")
    if identity is None:
        for name in ("audience", "subject", "capabilities"):
            if options.get(name):
                raise UsageError(f"{name}: pass identity, too, the key by which the client signs")
        return None
    from enkaku.identity.signing import make_signer  # noqa: PLC0415 # few clients sign

    return make_signer(
        identity,
        options.get("audience"),
        options.get("subject"),
        options.get("capabilities", ()),
    )


def check_server(options: ServerOptions, own: Collection[str] = ()) -> None:
    """Raise UsageError for an unknown option of a server, or an invalid value; ``own`` as for ``check_connection``."""
    require_known(_SERVER, options, {*_NAMES[_SERVER], *own}, _NAMES)
    _require_common(
        options.get("limits"), options.get("observers", ()), options.get("interceptors", ())
    )
    require_seconds("close_timeout", options.get("close_timeout", 0))
    for lifespan in lifespans_of(options):
        require_block_maker("a lifespan", lifespan)
    require_instances("describe", [options.get("describe", False)], bool)
    _require_identity(options)


def _require_identity(options: ServerOptions) -> None:
    access = options.get("access")
    if access is not None and not access:
        raise UsageError(
            "access: there is no rule in it; pass None if everybody may call everything"
        )
    key = options.get("identity")
    if key is not None:
        from enkaku.identity.keys import require_key_pair  # noqa: PLC0415 # only where it is used

        require_key_pair("identity", key)
    for name in ("replays", "unsigned"):
        if key is None and options.get(name) is not None:
            raise UsageError(f"{name}: it is for signed messages, which need the option identity")
    require_one_of("unsigned", options.get("unsigned", "refused"), ("refused", "if identified"))
    if options.get("replays") is not None:
        from enkaku.identity.replays import ReplayGuard  # noqa: PLC0415 # only where it is used

        require_instances("replays", [options.get("replays")], ReplayGuard)
    if options.get("rate_limits") is not None:
        require_instances("rate_limits", [options.get("rate_limits")], RateLimits)


def lifespans_of(options: ServerOptions) -> tuple[Lifespan, ...]:
    """Return the lifespans of a server's connections, the outermost first."""
    given: object = options.get("lifespan")
    if given is None:
        return ()
    return tuple(cast(Sequence[Lifespan], given if isinstance(given, Sequence) else [given]))


def _require_common(
    limits: object, observers: Sequence[Observer], interceptors: Sequence[Interceptor]
) -> None:
    if limits is not None:
        require_instances("limits", [limits], Limits)
    require_observers(observers)
    require_interceptors(interceptors)
