"""Calls that send items: how a handler sends them, and what it is sent.

Above it: routes, which hand these objects to methods, broadcasts, and the session. Below it: the call, the inbox, the
outbox, the window.
"""

from asyncio import get_running_loop
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Generic, TypeVar

from .call import TAKES_ITEMS, Context, ServerCall
from .errors import CallClosed
from .full import POLICIES, WhenFull
from .inbox import NOTHING, End, Inbox
from .messages import encode_item, encode_items, receive_head
from .outbox import Outbox
from .procedures import Procedure
from .slots import Slot
from .states import ServerState, Step
from .until_closed import UntilClosed
from .usage import require_loop, require_one_of
from .window import Window

__all__ = ["ServerChannel", "ServerStream", "StreamCall"]

Send = TypeVar("Send")
Receive = TypeVar("Receive")


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


class ServerStream(Generic[Receive]):
    """The server's end of a stream: takes the items for the client."""

    def __init__(self, call: StreamCall, receive: Slot[Receive]) -> None:
        self._when_full: WhenFull = "wait"
        self._call = call
        self._receive = receive

    @property
    def call(self) -> StreamCall:
        """The call that the stream is part of."""
        return self._call

    @property
    def when_full(self) -> WhenFull:
        """What happens to an item that there is no room for; ``"wait"`` at first.

        With ``"latest"`` or ``"drop_oldest"``, ``send`` does not wait, and older items make room for newer ones.
        """
        return self._when_full

    @when_full.setter
    def when_full(self, policy: WhenFull) -> None:
        require_one_of("when_full", policy, POLICIES)
        self._when_full = policy

    @property
    def closed(self) -> bool:
        """Whether the handler is asked to finish: the client has closed the call, or the server stops."""
        return self._call.closed

    @property
    def dropped(self) -> int:
        """How many items were dropped, because there was no room for them and ``when_full`` said so."""
        return self._call.dropped

    def until_closed(self) -> UntilClosed:
        """Make a block that is left quietly as soon as the call is closed."""
        return self._call.until_closed()

    async def send(self, item: Receive) -> None:
        """Wait until there is room for an item, and send it; what was sent is sent when this returns.

        Where ``when_full`` is not ``"wait"``, an item that there is no room for is put aside, and goes as soon as there
        is some, unless a newer one takes its place.

        Raises:
            CallClosed: The handler is asked to finish, or has.
            ConnectionLost: The client is gone; the handler's own task has been cancelled by then.
            EncodeError: The item does not fit its schema.
        """
        text = self._receive.encode(item)
        if self._when_full != "wait" or not self._call.send_in_turn(text):
            await self._call.send_item(text, self._when_full)


class ServerChannel(ServerStream[Receive], Generic[Send, Receive]):
    """The server's end of a channel: an async iterator over the client's items, which takes items for it.

    After the client has closed the channel, the iterator gives what came before, and then ends; up to then
    items can still be sent. After the client has only ended its own side, items can be sent as long as the handler
    likes.
    """

    def __init__(self, call: StreamCall, receive: Slot[Receive], inbox: Inbox[Send]) -> None:
        super().__init__(call, receive)
        self._inbox = inbox

    def __aiter__(self) -> AsyncIterator[Send]:
        return self

    async def __anext__(self) -> Send:
        item = self._inbox.take_now()
        if item is not NOTHING:
            return item
        try:
            return await self._inbox.get()
        except End:
            raise StopAsyncIteration from None
