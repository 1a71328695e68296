"""Streams and channels at the server, as a handler's method holds them.

Above it: handlers, and the routes that hand these objects to their methods. Below it: the call that sends the items.
"""

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from .full import POLICIES, WhenFull
from .inbox import NOTHING, End, Inbox
from .slots import Slot
from .stream_call import StreamCall
from .until_closed import UntilClosed
from .usage import require_one_of

__all__ = ["ServerChannel", "ServerStream"]

Send = TypeVar("Send")
Receive = TypeVar("Receive")


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
