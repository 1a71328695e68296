"""Streams that are opened again after their connection was lost."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from enkaku.errors import CallError, ConnectionLost, UsageError
from enkaku.wire.error_codes import ErrorCode

from .streams import ClientStream

__all__ = ["Gap", "Reopening", "reopening"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Gap:
    """Says that items may be missing here: the stream was lost, and has been opened again.

    Attributes:
        seconds: For how long there was no stream.
        error: What the stream before it ended with: ``ConnectionLost``, or ``EKP01`` of a server that stopped.
        number: Which gap it is; the first is 1.
    """

    seconds: float
    error: ConnectionLost | CallError
    number: int


@dataclass(frozen=True, slots=True)
class _Loss(Generic[T, R]):
    stream: ClientStream[T, R]
    error: ConnectionLost | CallError
    at: float  # as time.monotonic() counts


class Reopening(Generic[T, R]):
    """The items of a stream, and a ``Gap`` wherever it was opened again. ``reopening()`` makes it."""

    def __init__(self, opener: Callable[[], ClientStream[T, R]]) -> None:
        self._opener = opener
        self._entered = False
        self._stream: ClientStream[T, R] | None = None
        self._loss: _Loss[T, R] | None = None
        self._gaps = 0
        self._taking = False
        self._result: tuple[R] | None = None

    @property
    def result(self) -> R:
        """The result of the stream, which ends the iteration.

        Raises:
            UsageError: The iteration has not come to its end.
        """
        if self._result is None:
            raise UsageError("there is no result before the iteration has come to its end")
        return self._result[0]

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError("what reopening() returns can be entered once")
        self._entered = True
        self._stream = await self._make().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loss = None
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.__aexit__(kind, error, traceback)

    def __aiter__(self) -> AsyncIterator[T | Gap]:
        return self

    async def __anext__(self) -> T | Gap:
        if self._taking:
            raise UsageError("another task waits for an item of this stream already")
        self._taking = True
        try:
            if self._stream is not None:
                return await self._take(self._stream)
            return await self._reopen()
        finally:
            self._taking = False

    def _make(self) -> ClientStream[T, R]:
        stream = self._opener()
        if not _is_stream(stream):
            raise UsageError(
                f"the function of reopening() has to return a stream, and not {stream!r}"
            )
        return stream

    async def _take(self, stream: ClientStream[T, R]) -> T | Gap:
        try:
            return await anext(stream)
        except StopAsyncIteration:
            self._result = (await stream.result(),)
            raise
        except (ConnectionLost, CallError) as error:
            if isinstance(error, CallError) and error.code != ErrorCode.STOPPING:
                raise
            # From here on there is a loss until the next stream is open: whoever is cancelled may ask again.
            self._loss = _Loss(stream, error, stream.call.started + stream.call.duration)
            self._stream = None
            await stream.__aexit__(type(error), error, error.__traceback__)
        return await self._reopen()

    async def _reopen(self) -> Gap:
        loss = self._loss
        if loss is None:
            raise UsageError("the items of reopening() are taken in its block")
        # A server that stops refuses calls until it ends the connection: that is waited for.
        while await loss.stream.can_follow():
            stream = self._make()
            try:
                await stream.__aenter__()
            except ConnectionLost as error:
                self._loss = loss = _Loss(stream, error, loss.at)
                continue
            self._stream, self._loss = stream, None
            self._gaps += 1
            return Gap(time.monotonic() - loss.at, loss.error, self._gaps)
        raise loss.error.with_traceback(None)


def _is_stream(value: object) -> bool:
    return isinstance(value, ClientStream)


def reopening(opener: Callable[[], ClientStream[T, R]]) -> Reopening[T, R]:
    """Read a stream for as long as its connection comes back: it is opened again after each loss.

    Needs a connection with ``reconnect``; without, the first loss is raised. Where items may be missing there is a
    ``Gap`` among them::

        async with enkaku.reopening(lambda: client.metrics_stream(param)) as items:
            async for item in items:
                if isinstance(item, enkaku.Gap):
                    ...
                else:
                    ...
            print(items.result)

    The stream is opened again when its connection was lost, and when its server stops (``EKP01``). Any other error
    is raised; a result ends the iteration. Leaving the block aborts the stream. One task at a time may wait for an
    item.

    Args:
        opener: Makes the stream, each time; the next may begin where the last one ended.

    Raises:
        ConnectionLost: The connection was lost, and does not come back.
        UsageError: It is given a stream, which could be opened once.
    """
    if not callable(opener):
        raise UsageError(
            f"reopening() takes a function that makes the stream, each time: lambda: ..., not {opener!r}"
        )
    return Reopening(opener)
