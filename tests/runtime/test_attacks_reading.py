"""A connection that is not read: what is behind the pause is found out all the same."""

import asyncio
from pathlib import Path

import enkaku
from support import Lifetime, Serving, line, raw_client, soon, until
from watching import Recorder

_EVENT = line(typ="event", prc="tell", data=1)


async def test_the_end_of_a_client_is_seen_behind_events_that_have_no_room(
    socket_path: Path,
) -> None:
    telling = Lifetime()
    limits = enkaku.Limits(handlers=1, stall=0.1, request_time=None)
    async with enkaku.serve_unix(
        Serving(tell=telling.forever), socket_path, limits=limits
    ) as server:
        async with raw_client(socket_path) as peer:
            peer.send_bytes(_EVENT * 100)
            await soon(telling.began)
        await soon(telling.cancelled)
        await until(lambda: not server.connections)
    assert telling.began_count == 1


async def test_events_that_have_no_room_for_long_are_dropped_until_there_is_some(
    socket_path: Path,
) -> None:
    seen = Recorder()
    release = asyncio.Event()
    told = 0

    async def tell(_: int) -> None:
        nonlocal told
        await release.wait()
        told += 1

    limits = enkaku.Limits(handlers=1, stall=0.1)
    async with (
        enkaku.serve_unix(
            Serving(tell=tell), socket_path, limits=limits, observers=[seen]
        ) as server,
        raw_client(socket_path) as peer,
    ):
        peer.send_bytes(_EVENT * 10_000)
        await until(lambda: len(seen.overloads) == 9_999)
        release.set()
        await until(lambda: told == 1 and not server.connections[0].calls)
        peer.send_bytes(_EVENT * 10)
        await until(lambda: told == 11)
        assert await peer.settle() == []
    assert len(seen.overloads) == 9_999
