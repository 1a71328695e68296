"""A channel at the client: a stream that takes items for the handler as well.

Above it: the connection. Below it: streams, the link.
"""

import asyncio
from typing import Final, Generic, TypeVar

from .encoding import encode_end, encode_item, send_head
from .errors import CallClosed, ConnectionLost, DeadlineExceeded, NotSupported
from .slots import Slot
from .states import ClientState, Step
from .streams import ClientStream, Opening
from .usage import require_seconds

__all__ = ["ClientChannel"]

_Send = TypeVar("_Send")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")

_OPEN: Final = ClientState.OPEN
_STREAK: Final = 64  # how many items a channel may send before other tasks get a turn
_GRANT_WITHIN: Final = 5.0  # seconds that a server may take to show whether it counts credits


class ClientChannel(ClientStream[_Receive, _Result], Generic[_Send, _Receive, _Result]):
    """A channel: a stream that takes items for the handler as well."""

    def __init__(
        self,
        opening: Opening,
        receive: Slot[_Receive],
        result: Slot[_Result],
        send: Slot[_Send],
    ) -> None:
        super().__init__(opening, receive, result)
        self._send = send
        self._streak = 0

    async def send(self, item: _Send) -> None:
        """Wait until there is room for an item, and send it.

        Raises:
            CallClosed: The call is closing, or has ended (its result or error says why), or ``end()`` came before.
            ConnectionLost: The connection is gone.
            DeadlineExceeded: The call has taken too long.
            EncodeError: The item does not fit its schema; nothing was sent.
        """
        self._require_opened()
        line = encode_item(self._head, self._send.encode(item))
        if self._streak < _STREAK and self._state is _OPEN:
            self._streak += 1
            if self._link.has_room and self._window.take_now(len(line)):
                self._write_item(line)
                return
        await self._wait_for_room(line)
        # Nothing is awaited from here on: an item is sent if and only if this returns.
        if isinstance(self._reply, ConnectionLost | DeadlineExceeded):
            raise self._reply.with_traceback(None)
        if self._state is not _OPEN:
            raise CallClosed(
                f"{self.procedure.name}: the call takes no more items: {self._why_not()}"
            )
        self._window.take(len(line))
        self._write_item(line)

    def _write_item(self, line: bytes) -> None:
        size = len(line)
        self.facts.items_sent += 1
        self.facts.bytes_sent += size
        self._link.write(line)

    async def _wait_for_room(self, line: bytes) -> None:
        self._streak += 1
        if self._streak >= _STREAK:
            # A sender that never has to wait would keep every other task from running.
            self._streak = 0
            await asyncio.sleep(0)
        await self._window.turn.acquire()
        try:
            while self._state is _OPEN:
                # Credit first: who waits for it must have seen just now that the call goes on, or nobody wakes him.
                if not self._window.fits(len(line)):
                    await self._wait_for_credit()
                    continue
                await self._link.drain()
                if self._window.fits(len(line)):
                    break
        finally:
            self._window.turn.release()

    async def end(self, *, within: float = 5.0) -> None:
        """Say that no further items come; those of the server still do, and its result.

        The handler's ``async for`` ends as it does when the call is closed, but it may go on sending as long as it
        likes. After the end of the call, do nothing.

        Args:
            within: How long to wait for the server to show that it knows this, in seconds.

        Raises:
            ConnectionLost: The connection is gone.
            NotSupported: The server does not know it, as the TypeScript original does not: ``close()`` asks for the
                result.
            UsageError: ``within`` is no time.
        """
        require_seconds("within", within)
        self._require_opened()
        try:
            async with asyncio.timeout(within):
                while self._state is ClientState.OPEN and not self._window.certain:
                    self._link.ask_whether_it_counts()
                    await self._window.wait()
        except TimeoutError:
            self._link.lift(self._window)
        if isinstance(self._reply, ConnectionLost):
            raise self._reply.with_traceback(None)
        if self._state is ClientState.OPEN and not self._link.gate.credits:
            raise NotSupported(
                f"{self.procedure.name}: the server does not know half-closed channels"
            )
        if self._step(Step.HALF_CLOSE):
            self._link.write(encode_end(self.facts.rid))

    def _open(self, due: float | None) -> None:
        self.outgoing = self._window = self._link.new_window()
        super()._open(due)
        self._head = send_head(self.procedure.name, self.facts.rid)

    def _why_not(self) -> str:
        if self._state is ClientState.HALF_CLOSED:
            return "end() has said that none come"
        return "it is closing" if self._state is ClientState.CLOSING else "it has ended"

    async def _wait_for_credit(self) -> None:
        timer: asyncio.TimerHandle | None = None
        if not self._window.certain:
            self._link.ask_whether_it_counts()
            loop = asyncio.get_running_loop()
            timer = loop.call_later(_GRANT_WITHIN, self._link.lift, self._window)
        try:
            await self._window.wait()
        finally:
            if timer is not None:
                timer.cancel()
