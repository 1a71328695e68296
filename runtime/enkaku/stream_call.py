"""Calls that send items: how they are sent, and what is sent to them.

Above it: the streams that handlers hold, broadcasts, and the session. Below it: the call, the inbox, the
outbox, the window.
"""

from asyncio import get_running_loop
from collections.abc import Callable, Sequence
from typing import Final

from .call import TAKES_ITEMS, Context, ServerCall
from .encoding import encode_item, encode_items, receive_head
from .errors import CallClosed
from .full import WhenFull
from .inbox import Inbox
from .outbox import Outbox
from .procedures import Procedure
from .states import ServerState, Step
from .usage import require_loop
from .window import Window

__all__ = ["StreamCall"]


class StreamCall(ServerCall):
    """A stream or a channel that a handler is serving."""

    inbox: Inbox[object] | None = None
    outbox: Outbox | None = None
    decode_item: Callable[[bytes], object] | None = None
    before: tuple[Callable[[], None], ...] = ()
    """Send what a handler's own next item must not overtake. Set by broadcasts."""

    def __init__(
        self, procedure: Procedure, context: Context, due: float | None, rid: str, window: Window
    ) -> None:
        super().__init__(procedure, context, due, rid)
        self.window: Final = window
        self._head = receive_head(rid)

    def step(self, step: Step) -> bool:
        """Go on in the life of the call, if the step means anything where it stands. Called by the session."""
        if not super().step(step):
            return False
        if step is not Step.RELEASE and self.inbox is not None:
            self.inbox.put_end()
        if step is not Step.HALF_CLOSE:
            self.window.end()
        return True

    def release(self) -> None:
        """Need nothing of the connection any longer: the handler has ended. Called by the session."""
        if self.inbox is not None:
            self.inbox.clear()
            self.inbox.release()

    async def send_item(self, text: bytes, when_full: WhenFull) -> None:
        """Send an item's JSON text: wait until there is room for it, or put it aside. Called by streams."""
        require_loop(self.context.loop, "the stream")
        for send in self.before:
            send()
        line = encode_item(self._head, text)
        await self.context.turns.give_way()
        if when_full == "wait":
            if self.outbox is not None:
                await self.outbox.flush()
            await self._wait_for_room(len(line))
            # Nothing is awaited from here on: an item is sent if and only if this returns.
            self._write_item(line)
        else:
            self._send_or_keep(line, when_full)

    def send_in_turn(self, text: bytes) -> bool:
        """Send an item's JSON text if nobody has to wait for it, nor the others for their turn, and say so."""
        context = self.context
        turns, transport = context.turns, context.transport
        if self.state not in TAKES_ITEMS or self.before or self.outbox is not None:
            return False
        if turns.left <= 1 or get_running_loop() is not context.loop:
            return False
        line = encode_item(self._head, text)
        size = len(line)
        if not (transport.has_room and self.window.take_now(size)):
            return False
        turns.left -= 1
        self.items_sent += 1
        self.bytes_sent += size
        transport.write(line)
        return True

    def send_together(self, texts: Sequence[bytes]) -> bool:
        """Send some items' JSON texts if nobody has to wait for any of them, and say so. Called by broadcasts."""
        if self.state >= ServerState.ENDED:  # they may have been given before the call was closed
            return False
        return self._write_now(encode_items(self._head, texts), len(texts))

    def _takes_items(self) -> bool:
        # A closed channel's handler may still answer the items that came before the close.
        answering = self.inbox is not None and not self.inbox.finished
        return not self.closed or (self.state is ServerState.CLOSING and answering)

    async def _wait_for_room(self, size: int) -> None:
        """Wait until an item's line of so many bytes may be sent; send it without waiting for anything else."""
        await self.window.turn.acquire()
        try:
            while self._takes_items():
                # Credit first: who waits for it must have seen just now that the call goes on, or nobody wakes him.
                if not self.window.fits(size):
                    await self.window.wait()
                    continue
                await self.context.transport.drain()
                if self.window.fits(size):
                    break
        finally:
            self.window.turn.release()
        self._require_taking_items()

    def _send_or_keep(self, line: bytes, when_full: WhenFull) -> None:
        self._require_taking_items()
        if self._write_now(line):
            return
        if self.outbox is None:
            self.outbox = Outbox(
                self._wait_for_room,
                self._write_item,
                size=self.context.outbox_size,
                on_drop=self.note_dropped,
            )
        self.outbox.put(line, when_full)

    def _write_now(self, line: bytes, items: int = 1) -> bool:
        """Write the line of an item, or those of some, if nothing has to be waited for, or overtaken."""
        if self.outbox is not None and not self.outbox.empty:
            return False
        transport, size = self.context.transport, len(line)
        if not (transport.has_room and self.window.take_now(size, items)):
            return False
        self.items_sent += items
        self.bytes_sent += size
        transport.write(line)
        return True

    def _write_item(self, line: bytes) -> None:
        size = len(line)
        self.window.take(size)
        self.items_sent += 1
        self.bytes_sent += size
        self.context.transport.write(line)

    def _require_taking_items(self) -> None:
        if not self._takes_items():
            raise CallClosed(f"{self.procedure.name}: the call takes no more items: it is closed")
