"""Calls written by hand with futures, queues and pydantic, for the peers streams, websockets and pyzmq.

This is a typical program with many calls on one connection. The server replies to an echo without a task, since the echo
does not wait.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count as counter
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from compare.record import Record, make

__all__ = ["ASK", "Answer", "Ask", "Calls", "Channel", "Echo", "Pour", "answer_one"]


class Message(BaseModel):
    """A message."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: int


class Echo(Message):
    """Requests an echo: a request, or an item of a channel, which keeps its id."""

    kind: Literal["echo"] = "echo"
    record: Record


class Pour(Message):
    """Opens a stream."""

    kind: Literal["pour"] = "pour"
    count: int
    label_size: int


class Answer(Message):
    """A record for a call; None ends a stream."""

    record: Record | None


Ask: TypeAlias = Echo | Pour
ASK: Final[TypeAdapter[Ask]] = TypeAdapter(Annotated[Ask, Field(discriminator="kind")])


async def answer_one(
    ask: Ask, send: Callable[[Answer], Awaitable[None]], tasks: asyncio.TaskGroup
) -> None:
    """Reply to a message of a client; a stream has its own task."""
    if isinstance(ask, Echo):
        await send(Answer(id=ask.id, record=ask.record))
    else:
        tasks.create_task(_pour(ask, send))


async def _pour(ask: Pour, send: Callable[[Answer], Awaitable[None]]) -> None:
    for number in range(ask.count):
        await send(Answer(id=ask.id, record=make(number, ask.label_size)))
    await send(Answer(id=ask.id, record=None))


class Calls:
    """The client's calls; ``take`` handles each received message."""

    def __init__(self, send: Callable[[Ask], Awaitable[None]]) -> None:
        self._send = send
        self._ids = counter()
        self._requests: dict[int, asyncio.Future[Record]] = {}
        self._queues: dict[int, asyncio.Queue[Record | None]] = {}

    def take(self, answer: Answer) -> None:
        """Pass a reply to its call."""
        if (queue := self._queues.get(answer.id)) is not None:
            queue.put_nowait(answer.record)
        elif answer.record is not None:
            self._requests.pop(answer.id).set_result(answer.record)

    async def request(self, record: Record, /) -> Record:
        """Send a record, and return the server's copy."""
        number = next(self._ids)
        answer = self._requests[number] = asyncio.get_running_loop().create_future()
        await self._send(Echo(id=number, record=record))
        return await answer

    @asynccontextmanager
    async def stream(
        self, count: int, label_size: int
    ) -> AsyncGenerator[AsyncIterator[Record], None]:
        """Open a stream."""
        number = next(self._ids)
        queue = self._queues[number] = asyncio.Queue()
        await self._send(Pour(id=number, count=count, label_size=label_size))
        yield _read(queue)
        del self._queues[number]

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator["Channel", None]:
        """Open a channel."""
        number = next(self._ids)
        queue = self._queues[number] = asyncio.Queue()
        yield Channel(number, queue, self._send)
        del self._queues[number]


async def _read(queue: asyncio.Queue[Record | None]) -> AsyncGenerator[Record, None]:
    while (record := await queue.get()) is not None:
        yield record


class Channel:
    """An open channel."""

    def __init__(
        self,
        number: int,
        queue: asyncio.Queue[Record | None],
        send: Callable[[Ask], Awaitable[None]],
    ) -> None:
        self._id = number
        self._queue = queue
        self._send = send

    async def round_trip(self, record: Record, /) -> Record:
        """Send a record, and wait until it comes back."""
        await self._send(Echo(id=self._id, record=record))
        back = await self._queue.get()
        assert back is not None  # noqa: S101 # the server does not end a channel
        return back
