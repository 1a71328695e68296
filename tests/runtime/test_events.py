"""Messages that are never answered."""

import asyncio
import logging
from typing import Any

import enkaku
import pytest
from support import PING, TELL, VOID, Connect, Lifetime, Serving, facing, raw_client, soon, until


async def test_event_reaches_handler(connect_anyhow: Connect) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def tell(number: int) -> None:
        heard.set_result(number)

    async with connect_anyhow(Serving(tell=tell)) as connection:
        await connection.event(TELL, 5)
        assert await asyncio.wait_for(heard, 5) == 5


async def test_event_without_data_reaches_handler(connect: Connect) -> None:
    heard = asyncio.Event()

    async def ping() -> None:
        heard.set()

    async with connect(Serving(ping=ping)) as connection:
        await connection.event(PING, None)
        await soon(heard)


async def test_events_start_in_order_sent(connect: Connect) -> None:
    heard: list[int] = []

    async def tell(number: int) -> None:
        heard.append(number)

    async with connect(Serving(tell=tell)) as connection:
        for number in range(200):
            await connection.event(TELL, number)
        await connection.request(VOID, None)
    assert heard == list(range(200))


async def test_event_is_never_answered(socket_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def tell(number: int) -> None:
        if number == 1:
            raise ValueError("secret")
        if number == 2:
            raise enkaku.HandlerError("CODE", "message")

    async with enkaku.serve_unix(Serving(tell=tell), socket_path), raw_client(socket_path) as peer:
        peer.send(typ="event", prc="tell", data=1)
        peer.send(typ="event", prc="tell", data=2)
        peer.send(typ="event", prc="tell", data="wrong")
        peer.send(typ="event", prc="nobody", data=1)
        peer.send(typ="event", prc="void")
        peer.send(typ="event", prc="tell", data=1, rid="a")
        assert await peer.settle() == []
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage() for record in errors] == ["tell: the handler failed"] * 2


async def test_event_on_closed_connection_raises_connection_lost(connect: Connect) -> None:
    async with connect(Serving()) as connection:
        await connection.close()
        with pytest.raises(enkaku.ConnectionLost, match="tell"):
            await connection.event(TELL, 1)


async def test_event_with_invalid_data_is_not_sent(socket_path: Any) -> None:
    async with facing(socket_path) as (connection, peer):
        with pytest.raises(enkaku.EncodeError):
            await connection.event(TELL, "x")  # type: ignore[arg-type] # the mistake
        with pytest.raises(enkaku.UsageError):
            await connection.event(PING, 1)  # type: ignore[arg-type] # the mistake
        await connection.event(TELL, 3)
        assert await peer.read() == {"typ": "event", "prc": "tell", "data": 3}


async def test_event_cannot_be_aborted_by_id(socket_path: Any) -> None:
    life = Lifetime()
    async with enkaku.serve_unix(Serving(tell=life.forever), socket_path) as server:
        async with raw_client(socket_path) as peer:
            peer.send(typ="event", prc="tell", data=1)
            await soon(life.began)
            peer.send(typ="abort", rid="")
            assert await peer.settle() == []
            assert not life.cancelled.is_set()
        await server.stop(grace=0)


async def test_event_just_before_close_starts_handler(connect: Connect) -> None:
    told: list[int] = []

    async def tell(number: int) -> None:
        told.append(number)

    async with connect(Serving(tell=tell)) as connection:
        for number in range(5):
            await connection.event(TELL, number)
        await connection.close()
        await until(lambda: told == [0, 1, 2, 3, 4])


async def test_event_that_is_too_large_fails_at_its_sender(connect: Connect) -> None:
    note = enkaku.Event[str]("tell", data=str)
    async with connect(Serving(), limits=enkaku.Limits(message_size=1000)) as connection:
        with pytest.raises(enkaku.EncodeError, match=r"at most 1000 bytes, got [13]0"):
            await connection.event(note, "x" * 1000)
        await connection.request(VOID, None)
