"""The client's end of a transport: which calls are open, and whom each reply is for.

Above it: ``client``, the calls themselves. Below it: messages, framing, the inbox. It does not know what a
slot's value means.
"""

import logging
from itertools import count
from typing import Final, Protocol

from msgspec import UNSET

from .errors import (
    ConnectionLost,
    DecodeError,
    EnkakuError,
    InboxOverflow,
    InvalidMessage,
    MessageTooLarge,
)
from .framing import LineSplitter, Oversized
from .inbox import Inbox, ReadGate
from .limits import Limits
from .messages import (
    Error,
    Receive,
    Result,
    ServerMessage,
    decode_server_message,
    encode_abort,
    encode_open,
    glance_at,
)
from .procedures import Procedure
from .transport import Transport

__all__ = ["Link", "OpenCall", "Outcome"]

logger: Final = logging.getLogger("enkaku.client")

_REFUSED: Final = "EK08"

Outcome = bytes | EnkakuError | None
"""How a call ended: the text of its result, or None where the procedure has none, or an error."""


class OpenCall(Protocol):
    """What a link knows of a call that the server has not ended yet."""

    procedure: Procedure
    has_sent: bool
    """Whether items were sent."""

    def take_item(self, text: bytes) -> None:
        """The server sent an item."""

    def take_end(self, outcome: Outcome) -> None:
        """The call is over: with a result, or without one where the procedure has none, or with an error."""


class Link:
    """Carries the calls of one connection.

    Args:
        transport: What carries the bytes; started here.
        limits: What is kept for the server at the most.
    """

    def __init__(self, transport: Transport, limits: Limits) -> None:
        self.gate: Final = ReadGate(self._settle_reading)
        self._transport = transport
        self._limits = limits
        self._splitter = LineSplitter(limits.message_size)
        self._rids = count(1)
        self._calls: dict[str, OpenCall] = {}
        self._lost: str | None = None
        self._cause: Exception | None = None
        self._reported = False
        transport.start(self)

    @property
    def peer(self) -> str:
        """The server's address, for messages to people."""
        return self._transport.peer

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._lost is None

    def require_open(self, procedure: Procedure) -> None:
        """Raise ConnectionLost unless calls can be made."""
        if self._lost is not None:
            raise self._loss(procedure)

    def write(self, line: bytes) -> None:
        """Send one line, without waiting."""
        self._transport.write(line)

    async def drain(self) -> None:
        """Wait until there is room for a line.

        Raises:
            ConnectionLost: There never will be.
        """
        await self._transport.drain()

    async def close(self, *, within: float) -> None:
        """End every call, and the connection."""
        self._lose("this side closed the connection", None)
        await self._transport.close(within=within)

    def new_inbox(self) -> Inbox[bytes]:
        """Make the inbox of a call."""
        return Inbox(self.gate, high=self._limits.inbox_size, limit=self._limits.inbox_limit)

    def open_call(self, call: OpenCall, prm: bytes | None) -> str:
        """Send what opens a call, and return its id."""
        self.require_open(call.procedure)
        rid = str(next(self._rids))
        self._calls[rid] = call
        self._transport.write(encode_open(call.procedure.kind, rid, call.procedure.name, prm))
        return rid

    def abort_call(self, rid: str, reason: str | None) -> None:
        """Ask the server to end a call, unless it has."""
        if rid in self._calls and self.is_open:
            self._transport.write(encode_abort(rid, reason))

    def forget_call(self, rid: str) -> None:
        """Ignore what still comes for a call."""
        self._calls.pop(rid, None)

    def data_received(self, data: bytes) -> None:
        """Take what the server sent."""
        for line in self._splitter.feed(data):
            if isinstance(line, Oversized):
                _, rid = glance_at(line.head)
                self._fail(
                    rid,
                    MessageTooLarge(
                        f"a message of more than {self._limits.message_size} bytes was discarded"
                    ),
                )
                continue
            try:
                message = decode_server_message(line)
            except InvalidMessage as error:
                self._fail(error.rid, error)
            else:
                self._take(message)
        if self._splitter.endless:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """End every open call."""
        self._lose("the connection was lost" if error else "the server ended the connection", error)

    def _take(self, message: ServerMessage) -> None:
        if isinstance(message, Receive):
            call = self._calls.get(message.rid)
            if call is not None:
                try:
                    call.take_item(bytes(message.val))
                except InboxOverflow as error:
                    self._fail(message.rid, error)
            return
        call = self._calls.get(message.rid)
        if call is None:
            logger.debug("%s answered a call that is over: %.128r", self.peer, message.rid)
            return
        if isinstance(message, Result):
            outcome: Outcome = None if message.val is UNSET else bytes(message.val)
        else:
            outcome = _error(call.procedure, message)
            if message.code == _REFUSED and call.has_sent:
                # An item was refused: that ends the call here, and not there.
                self.abort_call(message.rid, None)
        self.forget_call(message.rid)
        call.take_end(outcome)

    def _fail(self, rid: str | None, error: EnkakuError) -> None:
        """The server sent what nobody can read: the call that it was for ends, the others go on."""
        level = logging.DEBUG if self._reported else logging.WARNING
        self._reported = True
        logger.log(level, "%s sent an invalid message: %.500s", self.peer, error)
        call = None if rid is None else self._calls.get(rid)
        if call is not None and rid is not None:
            self.abort_call(rid, None)
            self.forget_call(rid)
            call.take_end(error)

    def _lose(self, reason: str, cause: Exception | None) -> None:
        if self._lost is not None:
            return
        self._lost, self._cause = reason, cause
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.take_end(self._loss(call.procedure))

    def _loss(self, procedure: Procedure) -> ConnectionLost:
        error = ConnectionLost(f"{procedure.name}: {self._lost} ({self.peer})")
        error.__cause__ = self._cause
        return error

    def _settle_reading(self) -> None:
        if self.gate.paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _error(procedure: Procedure, message: Error) -> EnkakuError:
    try:
        return procedure.decode_error(message.code, message.msg, bytes(message.data))
    except DecodeError as error:
        return error
