"""What a server does that calls its client: the procedure ``call`` of the handler, by names of the functions here."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import enkaku
from support import ASK, ECHO, FILL, POUR, TALK, TELL, WATCH

__all__ = ["CALL", "METADATA", "call", "listed"]

CALL: Final = enkaku.Request[str, str]("call", param=str, result=str)
"""Has the name of a function and its number, as JSON; returns what the function returns, as JSON."""
METADATA: Final = enkaku.Request[None, dict[str, str]]("metadata", result=dict[str, str])
"""Returns the metadata of its call."""
ROUNDS: Final = 20  # of requests, for which an item has time to arrive

_Outcome: TypeAlias = "int | str | list[_Outcome] | dict[str, _Outcome]"

_connections: Final[list[enkaku.ConnectionInfo]] = []


@asynccontextmanager
async def listed(connection: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
    """Let ``everyone`` call the client of a connection."""
    _connections.append(connection)
    try:
        yield
    finally:
        _connections.remove(connection)


async def ask(peer: enkaku.Connection, param: int) -> _Outcome:
    return await peer.request(ASK, param)


async def hurry(peer: enkaku.Connection, param: int) -> _Outcome:
    return await peer.request(ASK, param, timeout=0.1)


async def echo(peer: enkaku.Connection, param: int) -> _Outcome:
    return await peer.request(ECHO, str(param))


async def identify(peer: enkaku.Connection, param: int) -> _Outcome:
    """Send metadata; return what the client's handler got."""
    sent = await peer.request(METADATA, None, metadata={"number": str(param)} if param else {})
    return {**sent}


async def cancel(peer: enkaku.Connection, param: int) -> _Outcome:
    asking = asyncio.create_task(peer.request(ASK, param))
    await peer.request(ASK, 1)
    asking.cancel()
    await asyncio.wait((asking,))
    return "cancelled" if asking.cancelled() else "not cancelled"


async def tell(peer: enkaku.Connection, param: int) -> _Outcome:
    for data in range(param):
        await peer.event(TELL, data)
    return param


async def watch(peer: enkaku.Connection, param: int) -> _Outcome:
    async with peer.stream(WATCH, param) as stream:
        items = [item async for item in stream]
        return [len(items), items[-1] if items else -1, await stream.result()]


async def close(peer: enkaku.Connection, param: int) -> _Outcome:
    async with peer.stream(WATCH, param) as stream:
        await anext(stream)
        return await stream.close()


async def leave(peer: enkaku.Connection, param: int) -> _Outcome:
    async with peer.stream(WATCH, param) as stream:
        return await anext(stream)


async def stall(peer: enkaku.Connection, param: int) -> _Outcome:
    """Read nothing of a stream for some rounds; return how much the client has yielded meanwhile, and how much it did in all."""
    async with peer.stream(WATCH, param) as stream:
        await anext(stream)
        for _ in range(ROUNDS):
            yielded = await peer.request(ASK, -4)
        return [yielded, 1 + len([item async for item in stream])]


async def talk(peer: enkaku.Connection, param: int) -> _Outcome:
    async with peer.channel(TALK, 100) as channel:
        received: list[_Outcome] = []
        for item in range(param):
            await channel.send(item)
            received.append(await anext(channel))
        await channel.end()
        return [received, await channel.result()]


async def unlucky(peer: enkaku.Connection, param: int) -> _Outcome:
    async with peer.channel(TALK, 0) as channel:
        await channel.send(param)
        return [item async for item in channel]


async def hang_up(peer: enkaku.Connection, param: int) -> _Outcome:
    async with peer.channel(TALK, param) as channel:
        await channel.send(1)
        return await anext(channel)


async def pour(peer: enkaku.Connection, param: int) -> _Outcome:
    async with peer.stream(POUR, param) as stream:
        return [len(item) async for item in stream]


class _Filling:
    """Counts the items that ``fill`` has sent."""

    sent = 0


async def fill(peer: enkaku.Connection, param: int) -> _Outcome:
    """Send many items to a client that does not read at once; return its count of characters."""
    _Filling.sent = 0
    async with peer.channel(FILL, 0) as channel:
        for _ in range(param):
            await channel.send("x" * 1000)
            _Filling.sent += 1
        await channel.end()
        return await channel.result()


async def sent(peer: enkaku.Connection, param: int) -> _Outcome:
    """Return how much ``fill`` has sent, after some rounds."""
    for _ in range(ROUNDS):
        await peer.request(ASK, param)
    return _Filling.sent


async def flood(peer: enkaku.Connection, param: int) -> _Outcome:
    return sum(await asyncio.gather(*(peer.request(ASK, 1) for _ in range(param))))


async def everyone(peer: enkaku.Connection, param: int) -> _Outcome:
    """Call all clients that have a handler."""
    del peer
    return [
        await each.client(lambda connection: connection).request(ASK, param)
        for each in tuple(_connections)
        if await _can_be_called(each)
    ]


async def _can_be_called(connection: enkaku.ConnectionInfo) -> bool:
    try:
        await connection.client(lambda each: each).request(ASK, 0, timeout=5)
    except enkaku.NotSupported:
        return False
    return True


_Function: TypeAlias = Callable[[enkaku.Connection, int], Awaitable[_Outcome]]
_FUNCTIONS: Final[dict[str, _Function]] = {
    each.__name__: each
    for each in (
        ask,
        cancel,
        close,
        echo,
        everyone,
        fill,
        flood,
        hang_up,
        hurry,
        identify,
        leave,
        pour,
        sent,
        stall,
        talk,
        tell,
        unlucky,
        watch,
    )
}


async def call(param: str) -> str:
    """Call the client as a function here does; return what it got, or its error."""
    name, number = json.loads(param)
    peer = enkaku.current_call().connection.client(lambda connection: connection)
    outcome: _Outcome
    try:
        outcome = await _FUNCTIONS[name](peer, number)
    except enkaku.DeclaredError as error:
        outcome = {"error": type(error).__name__, "code": error.code, "message": error.message}
    except enkaku.CallError as error:
        outcome = {"error": type(error).__name__, "code": error.code}
    except enkaku.EnkakuError as error:
        outcome = {"error": type(error).__name__}
    return json.dumps(outcome)
