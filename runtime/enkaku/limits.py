"""``Limits``: how much one side buffers for the other, how many calls it accepts, and how long it waits."""

from dataclasses import dataclass, fields
from typing import get_args

from ._checks import require_seconds, require_whole
from ._json import DEPTH_MAX
from .errors import UsageError

__all__ = ["Limits"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what a peer can make this side keep, and on how long it can keep it waiting.

    These are security limits. Sizes are in bytes, times in seconds; a time that is None has no end. What both
    sides bound:

    Attributes:
        message_size: The longest line that is read; 10 MiB by default. A longer one is discarded while it streams
            in: a call gets ``EK06``. After four times as much without a newline, the connection is ended.
        depth: How many levels of arrays and objects of a message may be in one another, its envelope not counted;
            200 by default, which is the most. A deeper message is refused (``EK08``).
        window: How much of one call's items is kept while nobody takes them; 256 KiB by default. A peer that counts
            credits has its own sending suspended there. Where a peer does not, the connection is read no further,
            unless somebody waits for something else on it.
        inbox_limit: What a call keeps at the most while a peer that does not count credits sends on; 16 MiB by
            default. Past that the call ends: on the client with ``InboxOverflow``, on the server with ``EKP02``.
        buffered: What all calls of a connection keep together; 64 MiB by default. Calls that are opened when most
            of it is promised get smaller windows; a call that goes past it ends as above.
        stall: How long a full inbox may be left alone before a connection that is not read for its sake is read
            on, and how long events may wait for a handler before those that find none are dropped; 30 by default.
        unread_time: How long the peer may read nothing of what waits for it, while more waits than the system
            takes, before the connection is given up; 60 by default.
        linger: How long a peer that has ended its side may read its last answers; 5 by default.

    What a client bounds:

    Attributes:
        silence: How long a server may send nothing while a call is open before it is asked for a sign of life, and
            how long it may then take; 30 by default. Only servers that count credits are asked.

    What a server bounds:

    Attributes:
        calls: Open calls of one connection; 10,000 by default. One more gets ``EK03``.
        handlers: Running handlers of requests of one connection, and as many of events; 100 by default. One more
            request gets ``EK04``; before one more event is handled, the connection is read no further.
        server_calls: Open calls of all connections; 100,000 by default (``EK03``).
        server_handlers: The same of all connections; 10,000 by default. One more request gets ``EK04``, one more event is
            dropped.
        connections: Open connections; 10,000 by default. One more is ended at once.
        backlog: Answers that a client may leave unread before it is read no further; 1 MiB by default.
        request_time: How long the handler of a request or event may run; 300 by default. Then it is cancelled, and the
            caller of a request gets ``EK05``. Streams and channels have no such limit.
        first_byte: How long a client may take to send anything; None by default.
        idle: How long a client may send nothing while it has no open call; None by default.
        cleanup: How long cancelled handlers, and then the last answers, may take each when the server stops; 5 by
            default.

    Raises:
        UsageError: A limit is not positive, or no number, ``depth`` is more than 200, or ``inbox_limit`` is not above ``window``.
    """

    message_size: int = 10 * _MIB
    depth: int = DEPTH_MAX
    window: int = 256 * 1024
    inbox_limit: int = 16 * _MIB
    buffered: int = 64 * _MIB
    stall: float | None = 30.0
    unread_time: float | None = 60.0
    linger: float = 5.0
    silence: float | None = 30.0
    calls: int = 10_000
    handlers: int = 100
    server_calls: int = 100_000
    server_handlers: int = 10_000
    connections: int = 10_000
    backlog: int = 1 * _MIB
    request_time: float | None = 300.0
    first_byte: float | None = None
    idle: float | None = None
    cleanup: float = 5.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value: object = getattr(self, field.name)
            name = f"Limits: {field.name}"
            if field.type is not int:
                require_seconds(name, value, optional=type(None) in get_args(field.type))
            else:
                require_whole(name, value)
            if isinstance(value, int | float) and value <= 0:
                raise UsageError(f"{name} must be more than 0, and is {value}")
        if self.depth > DEPTH_MAX:
            raise UsageError(f"Limits: depth is {DEPTH_MAX} at the most, and not {self.depth}")
        if self.inbox_limit <= self.window:
            raise UsageError(
                f"Limits: inbox_limit ({self.inbox_limit}) must be more than window ({self.window}), since "
                "what is read at once may go over"
            )
