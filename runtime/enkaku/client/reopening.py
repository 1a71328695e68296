"""Resubscribing streams: a stream that is opened again after its connection was lost, with a marker where items may be missing."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from enkaku._checks import AsyncBlock, AsyncItems
from enkaku.errors import CallError, ConnectionLost, UsageError
from enkaku.wire.error_codes import ErrorCode

from .streams import ClientStream

__all__ = ["Gap", "Reopening", "reopening"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Gap:
    """Marks where items may be missing: the stream was lost, and was opened again.

    Attributes:
        seconds: For how long there was no stream.
        error: The error of the stream before it: ``ConnectionLost``, or ``EKP01`` of a server that stopped.
        number: The number of the gap; the first is 1.
    """

    seconds: float
    error: ConnectionLost | CallError
    number: int


@dataclass(frozen=True, slots=True)
class _Loss(Generic[T, R]):
    stream: ClientStream[T, R]
    error: ConnectionLost | CallError
    at: float  # by time.monotonic()


class Reopening(AsyncBlock, AsyncItems, Generic[T, R]):
    """The items of a stream, and a ``Gap`` wherever it was opened again; made by ``reopening()``."""

    def __init__(self, opener: Callable[[], ClientStream[T, R]]) -> None:
        self._opener = opener
        self._entered = False
        self._stream: ClientStream[T, R] | None = None
        self._loss: _Loss[T, R] | None = None
        self._gaps = 0
        self._waiting = False
        self._result: tuple[R] | None = None

    def __repr__(self) -> str:
        return "reopening()"

    @property
    def result(self) -> R:
        """The result of the stream, once the iteration has ended.

        Raises:
            UsageError: The iteration has not ended.
        """
        if self._result is None:
            raise UsageError("reopening(): there is no result before the iteration has ended")
        return self._result[0]

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UsageError("reopening(): the block can be entered once")
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
        if self._waiting:
            raise UsageError("reopening(): another task is already waiting for the next item")
        self._waiting = True
        try:
            if self._stream is not None:
                return await self._next(self._stream)
            return await self._reopen()
        finally:
            self._waiting = False

    def _make(self) -> ClientStream[T, R]:
        stream = self._opener()
        if not _is_stream(stream):
            raise UsageError(f"reopening(): the function must return a new stream; got {stream!r}")
        return stream

    async def _next(self, stream: ClientStream[T, R]) -> T | Gap:
        try:
            return await anext(stream)
        except StopAsyncIteration:
            self._result = (await stream.result(),)
            raise
        except (ConnectionLost, CallError) as error:
            if isinstance(error, CallError) and error.code != ErrorCode.STOPPING:
                raise
            # The loss is kept until the next stream is open, so that a cancelled task may ask again.
            self._loss = _Loss(stream, error, stream.call.started + stream.call.duration)
            self._stream = None
            await stream.__aexit__(type(error), error, error.__traceback__)
        return await self._reopen()

    async def _reopen(self) -> Gap:
        loss = self._loss
        if loss is None:
            raise UsageError("reopening(): iterate inside of the 'async with' block")
        # A server that stops rejects calls until it ends the connection: wait for that.
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
    """Read a stream that is opened again whenever its connection was lost and reconnects.

    This needs a connection with ``reconnect``; without it, the first loss is raised. A ``Gap`` marks where items may be
    missing::

        async with enkaku.reopening(lambda: client.metrics_stream(param)) as items:
            async for item in items:
                if isinstance(item, enkaku.Gap):
                    ...
                else:
                    ...
            print(items.result)

    The stream is opened again when its connection was lost, and when its server stops (``EKP01``). Other errors are
    raised; a result ends the iteration. Leaving the block aborts the stream. One task at a time may wait for an
    item.

    Args:
        opener: Returns a new stream for each opening; it may ask for items from where the last one ended.

    Raises:
        ConnectionLost: The connection was lost, and does not reconnect.
        UsageError: ``opener`` is a stream, which could be opened only once.
    """
    if not callable(opener):
        raise UsageError(
            f"reopening(): pass a function that returns a new stream, such as lambda: ...; got {opener!r}"
        )
    return Reopening(opener)
