"""Resource limits and timeouts of one side of a connection: buffer sizes, numbers of calls, times."""

from dataclasses import dataclass, fields
from typing import get_args

from ._checks import KeywordOptions, require_seconds, require_whole
from ._json import DEPTH_MAX
from .errors import UsageError

__all__ = ["Limits"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(KeywordOptions):
    """Limits on what a peer can make this side buffer, and on how long it can make it wait.

    These are security limits. Sizes are in bytes, times in seconds; None means no timeout. Limits of both sides:

    Attributes:
        message_size: Maximum size of a received message; 10 MiB by default. A longer one is discarded as it arrives, and
            its call gets ``EK06``. One that exceeds four times the limit ends the connection.
        depth: Maximum nesting depth of arrays and objects in a message, without its envelope; 200 by default, which is the
            maximum. A deeper message is rejected (``EK08``).
        window: Flow-control window: how many bytes of unread items of one call are buffered; 512 KiB by default. A peer
            that supports flow control stops sending there. With any other peer, this side stops reading the
            connection, unless another call waits for a message.
        inbox_limit: Receive-buffer limit of one call, if the peer does not support flow control; 16 MiB by default. A call
            that exceeds it ends: on the client with ``InboxOverflow``, on the server with ``EKP02``.
        buffered: Receive-buffer limit of all calls of a connection together; 64 MiB by default. When most of it is
            reserved, new calls get smaller windows. A call that exceeds it ends as above. As much again may wait for a
            free handler, in requests and in events: each counts its message and 1 KiB. Beyond that a request gets
            ``EK04``; events pause reading.
        stall: The longest read pause. After this time with a full inbox, the connection is read again; after this time
            with too many events that wait for a handler, further ones are dropped. 30 by default.
        unread_time: Write timeout: how long the peer may read nothing while the write buffer is full; 60 by default. Then
            the connection ends.
        linger: How long a peer that has ended its side has to read the last replies; 5 by default.
        message_time: How long a peer may take to send a message of more than 4 KiB, from its first bytes to its last; 120 by
            default. Then the connection ends.
        invalid: How many messages that are none (no JSON, or no message of the protocol) a peer may send within a minute;
            1,000 by default. One more ends the connection.

    Limits of a client:

    Attributes:
        silence: Idle time before a ping: how long a server may send nothing while a call is open. It then has the same
            time again to answer, before the connection ends. 30 by default. Only servers that support flow control
            are pinged.

    Limits of a server; a tenth of those of all its connections is kept for connections that use nothing:

    Attributes:
        values: JSON values in a message; 50,000 by default. An object counts as eight, since it takes as long, and so
            does the escape of a lone surrogate; an array counts as four, a number with an exponent as three, and each 24
            digits of a longer number as five. A message with more gets ``EK06`` without being decoded, and so does one with
            more than six backslashes for each of so many values (the escape of a character by its number counts as two). Larger limits allow a client to hold the event loop
            for longer; see docs/security.md.
        calls: Open calls of one connection, including those that wait for a handler; 10,000 by default. One more gets
            ``EK03``.
        handlers: Running request handlers of one connection, and as many event handlers; 100 by default. Further requests
            and events wait for a free one, in order, until their deadline.
        server_calls: Open calls of all connections; 100,000 by default. One more gets ``EK03``.
        server_handlers: Running request handlers of all connections, and as many event handlers; 10,000 by default. A free
            handler serves the connections that wait in turn.
        connections: Open connections; 10,000 by default. One more is closed at once. From nine tenths on, a new one closes
            the one without an open call whose last call is longest ago.
        memory: Bytes of memory that the clients of a server make it hold, all together: values of open calls and of events,
            items that were not taken, incomplete messages, unread replies; 256 MiB by default. Above it, clients that hold
            some are not read; at twice that, none is. If almost nothing is freed for ``stall`` seconds, the connections
            that hold most are ended, until the others hold less. It should be several times ``message_size``.
        backlog: Replies that a client has not read; 1 MiB by default. Above it, the client's messages are not read.
        request_time: How long a request or event may take from its arrival; 300 by default. Then its handler is cancelled,
            and the caller of a request gets ``EK05``. Streams and channels have no such limit.
        first_byte: How long a client may wait before it sends its first byte; None by default.
        idle: How long a client without an open call may send nothing; None by default.
        cleanup: When the server stops: how long cancelled handlers may run, and then how long clients have to read the last
            replies; 5 by default each.

    Raises:
        UsageError: A limit is not a positive number, ``depth`` is more than 200, or ``inbox_limit`` is not more than
            ``window``.
    """

    message_size: int = 10 * _MIB
    depth: int = DEPTH_MAX
    window: int = 512 * 1024
    inbox_limit: int = 16 * _MIB
    buffered: int = 64 * _MIB
    stall: float | None = 30.0
    unread_time: float | None = 60.0
    linger: float = 5.0
    message_time: float | None = 120.0
    invalid: int = 1_000
    silence: float | None = 30.0
    values: int = 50_000
    calls: int = 10_000
    handlers: int = 100
    server_calls: int = 100_000
    server_handlers: int = 10_000
    connections: int = 10_000
    memory: int = 256 * _MIB
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
                raise UsageError(f"{name} must be more than 0; got {value}")
        if self.depth > DEPTH_MAX:
            raise UsageError(f"Limits: depth must be at most {DEPTH_MAX}; got {self.depth}")
        if self.inbox_limit <= self.window:
            raise UsageError(
                f"Limits: inbox_limit must be more than window ({self.window}), since one read may exceed the "
                f"window; got {self.inbox_limit}"
            )
