"""Synchronous streams and channels: ``with`` opens one, ``for`` receives its items.

Waking a thread costs more than an item. So when a thread has to wait for an item, the event loop takes all that have come by then
with it, at most as many as fit the receive buffer; the next iterations take those without waiting. With another overflow policy
than ``"wait"``, each item is taken alone, so that it is as new as possible.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from enkaku._checks import require_seconds
from enkaku.calls.info import Call
from enkaku.client.reopening import Gap
from enkaku.client.reopening import Reopening as AsyncReopening
from enkaku.client.reopening import reopening as reopening_async
from enkaku.client.streams import ClientChannel as AsyncChannel
from enkaku.client.streams import ClientStream as AsyncStream
from enkaku.errors import CallClosed, EnkakuError, UsageError
from enkaku.procedures import Procedure

from .background import BackgroundLoop, background

__all__ = ["ClientChannel", "ClientStream", "Reopening", "reopening"]

_T = TypeVar("_T")
_Receive = TypeVar("_Receive")
_Result = TypeVar("_Result")
_Send = TypeVar("_Send")


class ClientStream(Generic[_Receive, _Result]):
    """A stream: an iterator over the server's items, with a result at the end.

    Use it in ``with``. Leaving the block while the call is open aborts it, and cancels the handler::

        with client.metrics_stream(param) as stream:
            for metric in stream:
                ...
            result = stream.result()

    Several threads may use it: each item goes to one of those that iterate. A ``timeout`` of a method ends the wait and raises
    ``TimeoutError``; the call goes on. The ``timeout`` of the call itself ends the call, and raises ``DeadlineExceeded``.
    """

    def __init__(self, loop: BackgroundLoop, stream: AsyncStream[_Receive, _Result]) -> None:
        self.procedure: Final[Procedure] = stream.procedure
        self._loop: Final = loop
        self._stream: Final = stream
        self._opened = False
        self._items: Final[deque[_Receive]] = deque()
        self._error: Exception | None = None  # comes after the items
        self._receiving: Final = threading.Lock()

    def __repr__(self) -> str:
        return f"<synchronous {repr(self._stream).removeprefix('<')}"

    @property
    def asynchronous(self) -> AsyncStream[_Receive, _Result]:
        """The same stream, for code that runs in the event loop of ``enkaku.sync``."""
        return self._stream

    @property
    def call(self) -> Call:
        """Metadata of the call, once it is open."""
        self._require_opened()
        return self._stream.call

    @property
    def dropped(self) -> int:
        """How many items were dropped: because of ``when_full``, or while the call closes."""
        return self.call.dropped

    def __enter__(self) -> Self:
        if self._opened:
            raise UsageError(f"{self.procedure.name}: a call can be opened once")
        try:
            self._loop.run(self._stream.__aenter__())
        except BaseException as error:  # an interrupt may come when the call is open already
            self._loop.start(self._stream.__aexit__(type(error), error, error.__traceback__))
            raise
        self._opened = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.finish(self._stream.__aexit__(kind, error, traceback))

    def __iter__(self) -> Iterator[_Receive]:
        # Another object than the stream: "yield from" calls the method close() of what it iterates over, if it has one.
        while True:
            try:
                item = next(self)
            except StopIteration:
                return
            yield item

    def __next__(self) -> _Receive:
        if not self._loop.inherited:
            try:
                return self._items.popleft()
            except IndexError:
                pass
        try:
            return self._next(None)
        except _Ended:
            raise StopIteration from None

    def receive(self, *, timeout: float | None = None) -> _Receive:
        """Return the next item.

        Args:
            timeout: How long to wait for it, in seconds; None, the default, is without a timeout.

        Raises:
            CallClosed: The items have ended; ``result()`` returns the result.
            CallError: The call ended with an error.
            ConnectionLost: The connection ended first.
            DecodeError: The item does not fit its schema.
            TimeoutError: No item came in time.
        """
        require_seconds("timeout", timeout, optional=True)
        try:
            return self._next(timeout)
        except _Ended:
            raise CallClosed(f"{self.procedure.name}: the items of the call have ended") from None

    def opened(self, *, within: float = 5.0) -> None:
        """Wait until the server has accepted the call, as ``enkaku.ClientStream.opened`` does."""
        self._run(lambda: self._stream.opened(within=within), "reply", None)

    def result(self, *, timeout: float | None = None) -> _Result:
        """Wait until the server ends the call by itself, as ``enkaku.ClientStream.result`` does.

        Args:
            timeout: How long to wait, in seconds; None, the default, is without a timeout.
        """
        return self._run(self._stream.result, "result", timeout)

    def close(self, *, timeout: float | None = None) -> _Result:
        """Ask the handler to finish, and wait for its result, as ``enkaku.ClientStream.close`` does.

        Args:
            timeout: How long to wait, in seconds; None, the default, is without a timeout.
        """
        return self._run(self._stream.close, "result", timeout)

    def abort(self, reason: str | None = None) -> None:
        """Abort the call: the handler is cancelled, and nothing more is received. After the end, do nothing.

        Args:
            reason: For the server, at most 1,024 characters.
        """
        self._loop.run(self._abort(reason))
        self._items.clear()

    async def _abort(self, reason: str | None) -> None:
        self._stream.abort(reason)

    def _next(self, timeout: float | None) -> _Receive:
        self._require_opened()
        self._loop.require_usable()  # before it waits for a lock that the loop, or a parent process, may have
        until = None if timeout is None else time.monotonic() + timeout
        if not self._receiving.acquire(timeout=-1 if timeout is None else timeout):
            raise self._make_timeout("item")  # while another thread waits for one
        try:
            while not self._items:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                left = None if until is None else max(0.0, until - time.monotonic())
                self._run(self._fetch, "item", left)
            return self._items.popleft()
        finally:
            self._receiving.release()

    async def _fetch(self) -> None:
        """Wait for an item, and take those that have come as well. None is lost if the thread no longer waits."""
        self._items.append(await _next_item(self._stream))
        try:
            self._items.extend(self._stream.ready())
        except Exception as error:  # noqa: BLE001 # of the call, or of a hook
            self._error = error

    def _run(
        self,
        function: Callable[[], Coroutine[object, object, _T]],
        awaited: str,
        timeout: float | None,
    ) -> _T:
        self._require_opened()
        require_seconds("timeout", timeout, optional=True)
        coroutine = function()
        if timeout is not None:
            coroutine = self._within(coroutine, awaited, timeout)
        return self._loop.run(coroutine)

    async def _within(
        self, coroutine: Coroutine[object, object, _T], awaited: str, seconds: float
    ) -> _T:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await coroutine
        except TimeoutError as error:
            if not limit.expired() or isinstance(error, EnkakuError):
                raise
            raise self._make_timeout(awaited) from None

    def _make_timeout(self, awaited: str) -> TimeoutError:
        return TimeoutError(f"{self.procedure.name}: no {awaited} within the timeout")

    def _require_opened(self) -> None:
        if not self._opened:
            raise UsageError(f"{self.procedure.name}: open the call first, with 'with'")


class ClientChannel(ClientStream[_Receive, _Result], Generic[_Send, _Receive, _Result]):
    """A channel: a stream whose client also sends items to the handler. One thread may send while another receives."""

    def __init__(
        self, loop: BackgroundLoop, channel: AsyncChannel[_Send, _Receive, _Result]
    ) -> None:
        super().__init__(loop, channel)
        self._channel: Final = channel

    def send(self, item: _Send, *, timeout: float | None = None) -> None:
        """Wait until an item may be sent, and send it, as ``enkaku.ClientChannel.send`` does.

        Args:
            item: The item.
            timeout: How long to wait, in seconds; None, the default, is without a timeout.

        Raises:
            TimeoutError: It could not be sent in time, and was not.
        """
        self._run(lambda: self._channel.send(item), "space for the item", timeout)

    def end(self, *, within: float = 5.0) -> None:
        """Half-close: send no further items, as ``enkaku.ClientChannel.end`` does."""
        self._run(lambda: self._channel.end(within=within), "end", None)


class _Ended(Exception):
    """There is no further item."""


class Reopening(Generic[_Receive, _Result]):
    """The items of a stream, and a ``Gap`` wherever it was opened again; made by ``reopening()``."""

    def __init__(self, loop: BackgroundLoop, items: AsyncReopening[_Receive, _Result]) -> None:
        self._loop: Final = loop
        self._reopening: Final = items

    def __repr__(self) -> str:
        return f"synchronous {self._reopening!r}"

    @property
    def result(self) -> _Result:
        """The result of the stream, once the iteration has ended.

        Raises:
            UsageError: The iteration has not ended.
        """
        return self._reopening.result

    def __enter__(self) -> Self:
        self._loop.run(self._reopening.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.finish(self._reopening.__aexit__(kind, error, traceback))

    def __iter__(self) -> Iterator[_Receive | Gap]:
        return self

    def __next__(self) -> _Receive | Gap:
        try:
            return self._loop.run(_next_item(self._reopening))
        except _Ended:
            raise StopIteration from None


def reopening(
    opener: Callable[[], ClientStream[_Receive, _Result]],
) -> Reopening[_Receive, _Result]:
    """Read a stream that is opened again whenever its connection was lost and reconnects, as ``enkaku.reopening`` does.

    Args:
        opener: Returns a new stream for each opening. It runs in the event loop of ``enkaku.sync``, and must not wait.
    """
    if not callable(opener):
        raise UsageError(
            f"reopening(): pass a function that returns a new stream, such as lambda: ...; got {opener!r}"
        )

    def make() -> AsyncStream[_Receive, _Result]:
        stream = opener()
        if not _is_stream(stream):
            raise UsageError(f"reopening(): the function must return a new stream; got {stream!r}")
        return stream.asynchronous

    return Reopening(background(), reopening_async(make))


def _is_stream(value: object) -> bool:
    return isinstance(value, ClientStream)


async def _next_item(items: AsyncIterator[_T]) -> _T:
    try:
        return await anext(items)
    except StopAsyncIteration:
        raise _Ended from None
