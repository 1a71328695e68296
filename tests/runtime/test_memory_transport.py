"""A connection without a socket behaves as one with a socket does."""

import asyncio

import enkaku
import pytest
from enkaku.transports.memory import MemoryTransport, memory_pair
from support import ASK, MESSAGE_SIZE, VOID, WITHIN, Log, Serving, turns


def started() -> tuple[MemoryTransport, Log, MemoryTransport, Log]:
    client, server = memory_pair()
    client_log, server_log = Log(), Log()
    client.start(client_log, message_size=MESSAGE_SIZE)
    server.start(server_log, message_size=MESSAGE_SIZE)
    return client, client_log, server, server_log


async def test_memory_transport_delivers_later_and_in_order() -> None:
    client, client_log, server, server_log = started()
    client.write(b"a")
    client.write(b"b")
    server.write(b"c")
    assert server_log.data == b""
    await turns()
    assert (server_log.data, client_log.data) == (b"ab", b"c")


async def test_memory_transport_paused_counts_bytes_as_buffered() -> None:
    client, _, server, log = started()
    server.pause_reading()
    server.pause_reading()
    client.write(b"x" * 100)
    await turns()
    assert (log.data, client.buffered) == (b"", 100)
    server.resume_reading()
    server.resume_reading()
    await turns()
    assert (len(log.data), client.buffered) == (100, 0)


async def test_memory_transport_drain_waits_for_paused_reader() -> None:
    client, _, server, _ = started()
    server.pause_reading()
    client.write(b"x" * 100_000)
    waiting = [asyncio.create_task(client.drain()) for _ in range(3)]
    await turns()
    assert not any(task.done() for task in waiting)
    waiting[0].cancel()
    server.resume_reading()
    async with asyncio.timeout(WITHIN):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None, None]


async def test_memory_transport_close_ends_both_after_written_bytes() -> None:
    client, client_log, server, server_log = started()
    client.write(b"last")
    async with asyncio.timeout(WITHIN):
        await client.close(within=5)
    assert server_log.data == b"last"
    assert (client_log.ends, server_log.ends) == ([None], [None])
    server.write(b"ignored")
    client.write(b"ignored")
    for end in (client, server):
        with pytest.raises(enkaku.ConnectionLost):
            await end.drain()
        await end.close(within=5)
    await turns()
    assert client_log.data == b""


async def test_memory_transport_abort_ends_both_and_drops_bytes() -> None:
    client, client_log, _, server_log = started()
    client.write(b"lost")
    client.abort()
    client.abort()
    await turns()
    assert server_log.data == b""
    assert (client_log.ends, server_log.ends) == ([None], [None])


async def test_memory_transport_abort_wakes_drain() -> None:
    client, _, server, _ = started()
    server.pause_reading()
    client.write(b"x" * 100_000)
    waiting = asyncio.create_task(client.drain())
    await turns()
    server.abort()
    async with asyncio.timeout(WITHIN):
        with pytest.raises(enkaku.ConnectionLost):
            await waiting


async def test_memory_transport_close_with_paused_peer_times_out() -> None:
    client, client_log, server, server_log = started()
    server.pause_reading()
    async with asyncio.timeout(WITHIN):
        await client.close(within=0.02)
    await turns()
    assert client_log.ends == [None]
    server.resume_reading()
    await turns()
    assert server_log.ends == [None]


async def test_memory_transport_cancelled_close_ends_connection() -> None:
    client, client_log, server, server_log = started()
    server.pause_reading()
    closing = asyncio.create_task(client.close(within=100))
    await turns()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    server.resume_reading()
    await turns()
    assert (client_log.ends, server_log.ends) == ([None], [None])


async def test_connect_memory_connections_are_independent() -> None:
    async def ask(number: int) -> int:
        return -number

    handler = Serving(ask=ask)
    async with enkaku.connect_memory(handler) as first, enkaku.connect_memory(handler) as second:
        await first.close()
        assert await second.request(ASK, 1) == -1
        with pytest.raises(enkaku.ConnectionLost):
            await first.request(VOID, None)


async def test_connect_memory_raises_exception_of_block() -> None:
    with pytest.raises(KeyError):
        async with enkaku.connect_memory(Serving()) as connection:
            await connection.request(VOID, None)
            raise KeyError


async def test_memory_transport_pause_does_not_hide_end() -> None:
    client, client_log, server, server_log = started()
    server.abort()
    server.pause_reading()  # as somebody may who has not heard of it
    closing = asyncio.create_task(client.close(within=WITHIN))
    await turns(1)
    client.pause_reading()
    await turns()
    assert (client_log.ends, server_log.ends) == ([None], [None])
    await closing
