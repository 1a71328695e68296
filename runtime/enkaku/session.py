"""The server's end of a connection: reads what the client sends, and has it served.

Above it: the server, which owns its sessions. Below it: the calls, messages, framing. It does
not know what carries the bytes, and nothing of the client.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Raw, UnsetType

from .call import CallState, ServerCall
from .calls import FAILED, STOPPING, Calls
from .errors import ConnectionLost, DecodeError, InboxOverflow, InvalidMessage
from .framing import LineSplitter, Oversized
from .handler import Route
from .inbox import Inbox, ReadGate
from .limits import Limits
from .messages import (
    CLOSE,
    Abort,
    CallMessage,
    ClientMessage,
    Event,
    OpenChannel,
    OpenRequest,
    OpenStream,
    Send,
    decode_client_message,
    encode_error,
    glance_at,
)
from .transport import Transport

__all__ = ["Session"]

logger: Final = logging.getLogger("enkaku.server")

_INVALID: Final = ("EK08", "Invalid protocol message")
_TOO_LARGE: Final = ("EK06", "Message exceeds maximum size")
_OVERFLOW: Final = ("EKP02", "Too many items wait to be handled")

_ANSWERED: Final = frozenset({"request", "stream", "channel", "send"})
_BACKLOG: Final = (
    1024 * 1024
)  # bytes of answers that a peer may leave unread before it is read no further
_LINGER: Final = 5.0  # seconds in which a client that has ended its side may read its last answers
_STALL: Final = (
    30.0  # seconds in which a handler may leave a full inbox alone before reading goes on
)
_RID_MAX: Final = 1024  # characters of an overlong rid that are worth echoing
_EXPLANATION_MAX: Final = 1000  # characters that a client is told about a value of its own
_KINDS: Final[Mapping[type[CallMessage], str]] = {
    OpenRequest: "request",
    OpenStream: "stream",
    OpenChannel: "channel",
}


class Session:
    """Serves one connection.

    Args:
        transport: What carries the bytes; not started yet.
        routes: The handler's routes by procedure name; shared by the sessions of a server.
        limits: What is kept for the client at the most.
        close_timeout: How long a handler may go on after its call was closed, in seconds; then it is
            cancelled and the caller gets ``EK05``.
        explain_refusals: Whether a client is told why its value was refused.

    Attributes:
        ended: Done when the connection is gone and the last handler with it.
    """

    def __init__(
        self,
        transport: Transport,
        routes: Mapping[str, Route],
        *,
        limits: Limits,
        close_timeout: float,
        explain_refusals: bool,
    ) -> None:
        self._explain_refusals = explain_refusals
        self._transport = transport
        self._routes = routes
        self._limits = limits
        self._splitter = LineSplitter(limits.message_size)
        self._gate = ReadGate(self._settle_reading, stall=_STALL)
        self._calls = Calls(transport, close_timeout=close_timeout, on_idle=self._settle_end)
        self._catching_up: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._reported = False
        self._lost = False
        self.ended: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        for line in self._splitter.feed(data):
            if isinstance(line, Oversized):
                self._refuse_oversized(line)
            else:
                self._take_line(line)
        if self._splitter.endless:
            self._report("a line without an end")
            self._transport.abort()
        elif self._transport.buffered > _BACKLOG and self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._catch_up())
            self._settle_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel what still runs: nobody is there to be answered."""
        self._lost = True
        logger.debug("%s is gone: %s", self._transport.peer, error or "it ended the connection")
        self._calls.give_up_all()
        if self._transport.buffered:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        self._settle_end()

    async def stop(self, *, grace: float, cleanup: float) -> None:
        """Take no new calls, ask the running handlers to finish, answer every call, close the transport.

        Args:
            grace: How long handlers may go on, in seconds.
            cleanup: How long cancelled handlers, and then the flushing of the answers, may take each.
        """
        await self._calls.stop(grace=grace, cleanup=cleanup)
        await self._transport.close(within=cleanup)

    def abort(self) -> None:
        """Cancel every handler and drop the connection."""
        self._calls.cancel_all()
        self._transport.abort()

    def _take_line(self, line: bytes) -> None:
        try:
            message = decode_client_message(line)
        except InvalidMessage as error:
            self._report(str(error))
            if error.rid is not None:
                self._refuse(error.rid, *_INVALID)
        else:
            self._take(message)

    def _take(self, message: ClientMessage) -> None:
        match message:
            case Send():
                self._send(message)
            case Abort():
                self._abort(message)
            case Event():
                self._event(message)
            case _:
                self._open(message)

    def _open(self, message: CallMessage) -> None:
        kind = _KINDS[type(message)]
        route = self._routes.get(message.prc)
        if self._calls.get(message.rid) is not None:
            self._refuse_invalid(message.rid, f"the rid {message.rid!r} is in use")
        elif route is None or route.procedure.kind != kind:
            self._refuse_invalid(message.rid, f"there is no {kind} {message.prc!r}")
        elif self._calls.stopping:
            self._refuse(message.rid, *STOPPING)
        else:
            try:
                run = route.bind(_text(message.prm))
            except DecodeError as error:
                self._refuse_value(message.rid, error)
                return
            except Exception:
                logger.exception("%s: reading its param failed", message.prc)
                self._refuse(message.rid, *FAILED)
                return
            call = ServerCall(message.rid, route.procedure, self._transport, route.decode_item)
            if route.decode_item is not None:
                call.inbox = Inbox(
                    self._gate, high=self._limits.inbox_size, limit=self._limits.inbox_limit
                )
            self._calls.start(call, run)

    def _event(self, message: Event) -> None:
        route = self._routes.get(message.prc)
        if route is None or route.procedure.kind != "event":
            self._report(f"there is no event {message.prc!r}")
        elif not self._calls.stopping:
            try:
                run = route.bind(_text(message.data))
            except DecodeError as error:
                self._report(str(error))
                return
            except Exception:
                logger.exception("%s: reading its data failed", message.prc)
                return
            self._calls.start(ServerCall("", route.procedure, self._transport), run)

    def _send(self, message: Send) -> None:
        call = self._calls.get(message.rid)
        if call is None:
            return
        if call.inbox is None or call.decode_item is None:
            self._report(f"{call.procedure.name!r} takes no items")
            return
        text = bytes(message.val)
        try:
            call.inbox.put(call.decode_item(text), len(text))
        except DecodeError as error:
            self._refuse_value(message.rid, error)
        except InboxOverflow as error:
            self._report(f"{call.procedure.name}: {error}")
            self._refuse(message.rid, *_OVERFLOW)
            self._calls.give_up(call)
        except Exception:
            logger.exception("%s: reading an item failed", call.procedure.name)
            self._refuse(message.rid, *FAILED)
            self._calls.give_up(call)

    def _abort(self, message: Abort) -> None:
        call = self._calls.get(message.rid)
        if call is None or call.state is not CallState.RUNNING:
            return  # unknown, or ended already: the first end wins
        if message.rsn == CLOSE:
            self._calls.close(call)
        else:
            self._calls.give_up(call)

    def _refuse_oversized(self, line: Oversized) -> None:
        typ, rid = glance_at(line.head)
        self._report(f"a line of more than {self._limits.message_size} bytes")
        if rid is not None and typ in _ANSWERED:
            self._refuse(rid, *_TOO_LARGE)

    def _refuse_invalid(self, rid: str, reason: str) -> None:
        self._report(reason)
        self._refuse(rid, *_INVALID)

    def _refuse_value(self, rid: str, error: DecodeError) -> None:
        self._report(str(error))
        code, message = _INVALID
        if self._explain_refusals:
            message = f"{message}: {error.reason}"[:_EXPLANATION_MAX]
        self._refuse(rid, code, message)

    def _refuse(self, rid: str, code: str, message: str) -> None:
        if len(rid) <= _RID_MAX:
            self._transport.write(encode_error(rid, code, message))

    def _report(self, reason: str) -> None:
        """Log what the client did wrong; once loudly, since a hostile client could fill the disk."""
        level = logging.DEBUG if self._reported else logging.WARNING
        self._reported = True
        logger.log(level, "%s sent an invalid message: %.500s", self._transport.peer, reason)

    def _settle_reading(self) -> None:
        if self._gate.paused or self._catching_up is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    async def _catch_up(self) -> None:
        """Read no further until the client has read its answers."""
        try:
            await self._transport.drain()
        except ConnectionLost:
            return
        finally:
            self._catching_up = None
            self._settle_reading()
            self._settle_end()

    async def _flush(self) -> None:
        """A client that has ended its side may still read, but need not: its socket is kept for a while."""
        try:
            await self._transport.close(within=_LINGER)
        finally:
            self._flushing = None
            self._settle_end()

    def _settle_end(self) -> None:
        busy = self._catching_up is not None or self._flushing is not None
        idle = self._calls.running == 0 and not busy
        if self._lost and idle and not self.ended.done():
            self.ended.set_result(None)


def _text(value: Raw | UnsetType) -> bytes | None:
    return None if value is UNSET else bytes(value)
