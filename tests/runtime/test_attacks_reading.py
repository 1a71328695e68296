"""A connection that is not read: what is behind the pause is found out all the same."""

import asyncio
from pathlib import Path

import enkaku
from support import Lifetime, Serving, line, raw_client, soon, until

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


async def test_events_that_have_no_room_for_long_are_kept_up_to_a_limit(socket_path: Path) -> None:
    overloads: list[str] = []
    release = asyncio.Event()
    told = 0

    class Watching(enkaku.Observer):
        def overloaded(
            self, connection: enkaku.ConnectionInfo, procedure: str, problem: str
        ) -> None:
            overloads.append(procedure)

    async def tell(_: int) -> None:
        nonlocal told
        await release.wait()
        told += 1

    limits = enkaku.Limits(handlers=1, stall=0.1, window=1000, inbox_limit=100 * len(_EVENT))
    async with (
        enkaku.serve_unix(Serving(tell=tell), socket_path, limits=limits, observers=[Watching()]),
        raw_client(socket_path) as peer,
    ):
        peer.send_bytes(_EVENT * 50_000)
        await until(lambda: len(overloads) >= 50_000 - 110)
        assert set(overloads) == {"tell"}
        release.set()
        assert await peer.settle() == []
        assert 100 <= told == 50_000 - len(overloads) <= 110
