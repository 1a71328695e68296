"""Synchronous connections: ``connect``, and the connection that it returns."""

import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar, Unpack, overload

from enkaku._checks import require_seconds
from enkaku.addresses import ConnectOptions
from enkaku.addresses import connect as connect_async
from enkaku.calls.info import Call, ConnectionInfo
from enkaku.client.connection import Connection as AsyncConnection
from enkaku.client.reconnect import ConnectionState
from enkaku.errors import UsageError
from enkaku.options import CallOptions, StreamOptions
from enkaku.procedures import Channel, Event, Request, Stream

from .background import BackgroundLoop, OpenBlock, background
from .streams import ClientChannel, ClientStream

if TYPE_CHECKING:
    from enkaku.calls.descriptions import Description

__all__ = ["Connection", "connect"]

_Data = TypeVar("_Data")
_Param = TypeVar("_Param")
_Send = TypeVar("_Send")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")


@overload
def connect(address: str, **options: Unpack[ConnectOptions]) -> "Connection": ...
@overload
def connect(address: AbstractAsyncContextManager[AsyncConnection]) -> "Connection": ...
def connect(
    address: str | AbstractAsyncContextManager[AsyncConnection], **options: Unpack[ConnectOptions]
) -> "Connection":
    """Connect to a server; leaving the ``with`` block, or ``close()``, closes the connection.

    The connection is open when this returns, so that a program without one block for all its calls need not have one.

    Args:
        address: As for ``enkaku.connect``; or the block that one of the functions ``connect_*`` has returned, such as
            ``enkaku.connect_memory(handler)`` in tests.
        options: See ``ConnectOptions``. Observers, interceptors and hooks run in the event loop of ``enkaku.sync``: they must not
            block.

    Raises:
        ConnectFailed: No server answers at the address within the timeout.
        UsageError: The address or an option is not valid.
    """
    if isinstance(address, AbstractAsyncContextManager):
        if options:
            raise UsageError(
                f"enkaku.sync.connect: pass the options to the function that made the block; got {', '.join(options)}"
            )
        manager = address
    else:
        manager = connect_async(address, **options)
    loop = background()
    block = OpenBlock(loop, manager)
    try:
        return Connection(loop, block, loop.run(block.open()))
    except BaseException:  # an interrupt may come when the block is open already
        loop.start(block.close())
        raise


class Connection:
    """The client's end of a connection; any number of threads may use it at the same time.

    ``connect`` makes it. Its methods are those of ``enkaku.Connection``, but block the thread that calls them, and raise the same
    errors. Generated clients call them.

    Args:
        loop: The event loop that the connection belongs to.
        block: Is closed with the connection.
        connection: The asynchronous connection.
    """

    def __init__(
        self, loop: BackgroundLoop, block: OpenBlock[AsyncConnection], connection: AsyncConnection
    ) -> None:
        self._loop: Final = loop
        self._block: Final = block
        self._connection: Final = connection
        self._closed = False

    def __repr__(self) -> str:
        return f"<synchronous {repr(self._connection).removeprefix('<')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._loop.is_usable:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            self._loop.start(self._block.close())

    @property
    def peer(self) -> str:
        """The server's address."""
        return self._connection.peer

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to the server now."""
        return self._loop.is_usable and self._connection.is_open

    @property
    def state(self) -> ConnectionState:
        """The state of the connection."""
        return self._connection.state

    def states(self) -> Iterator[ConnectionState]:
        """Iterate over the states of the connection: the present one, and each that follows, until the last."""
        states = self._connection.states()
        while (state := self._loop.run(_next_state(states))) is not None:
            yield state

    @property
    def info(self) -> ConnectionInfo:
        """Metadata of the newest session."""
        return self._connection.info

    @property
    def calls(self) -> tuple[Call, ...]:
        """The open calls of all threads, oldest first."""
        return self._connection.calls

    def event(self, procedure: Event[_Data], data: _Data, **options: Unpack[CallOptions]) -> None:
        """Send an event (a notification), as ``enkaku.Connection.event`` does."""
        self._loop.run(self._connection.event(procedure, data, **options))

    def request(
        self,
        procedure: Request[_Param, _Result],
        param: _Param,
        **options: Unpack[CallOptions],
    ) -> _Result:
        """Send a request and wait for its result, as ``enkaku.Connection.request`` does; Ctrl-C aborts it."""
        return self._loop.run(self._connection.request(procedure, param, **options))

    def stream(
        self,
        procedure: Stream[_Param, _Receive, _Result],
        param: _Param,
        **options: Unpack[StreamOptions],
    ) -> ClientStream[_Receive, _Result]:
        """Prepare a stream, as ``enkaku.Connection.stream`` does; ``with`` opens it."""
        return ClientStream(self._loop, self._connection.stream(procedure, param, **options))

    def channel(
        self,
        procedure: Channel[_Param, _Send, _Receive, _Result],
        param: _Param,
        **options: Unpack[StreamOptions],
    ) -> ClientChannel[_Send, _Receive, _Result]:
        """Prepare a channel, as ``enkaku.Connection.channel`` does; ``with`` opens it."""
        return ClientChannel(self._loop, self._connection.channel(procedure, param, **options))

    def describe(self, **options: Unpack[CallOptions]) -> "Description":
        """Ask the server what it serves, as ``enkaku.Connection.describe`` does."""
        return self._loop.run(self._connection.describe(**options))

    def expect(self, package: str, prefix: str = "") -> None:
        """Compare the protocol of a generated package with that of the server, as ``enkaku.Connection.expect`` does."""
        self._connection.expect(package, prefix)

    def close(self, *, within: float = 2.0) -> None:
        """End the connection: open calls of all threads end with ``ConnectionLost``, and their handlers are cancelled.

        A second call waits for the first. In a child process that was forked since, this does nothing. In the event loop of
        ``enkaku.sync``, such as in an observer, it does not wait.

        Args:
            within: How long the server may take to end its side, in seconds.
        """
        require_seconds("within", within)
        self._closed = True
        self._loop.finish(self._close(within))

    async def _close(self, within: float) -> None:
        try:
            await self._connection.close(within=within)
        finally:
            await self._block.close()


async def _next_state(states: AsyncIterator[ConnectionState]) -> ConnectionState | None:
    return await anext(states, None)
