"""Broadcasts: one value for many subscribers, each of whom may be slow at its own cost."""

import asyncio
import gc
import json
import logging
import random
import weakref
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.server.call import StreamCall
from support import HUM, POUR, VOID, WATCH, WITHIN, Connect, Serving, raw_client, soon, turns, until
from watching import Recorder

SMALL = enkaku.Limits(window=4096)
"""Three items fit, and then the handler has to wait until they are read."""
QUEUE = 4096
"""Three more, for the broadcast's queue."""
POLICIES = ("wait", "latest", "drop_oldest", "disconnect")
Policy = Any  # one of them


class Hub:
    """A broadcast of texts of 1,000 characters, and a handler that serves each call as its param says."""

    def __init__(
        self,
        *,
        where: Callable[[str], bool] | None = None,
        gap: Callable[[int], str] | None = None,
        **options: Any,
    ) -> None:
        self.broadcast = enkaku.Broadcast(POUR, **{"queue": QUEUE, **options})
        self.handler = Serving(pour=self._pour)
        self.streams: list[enkaku.ServerStream[str]] = []
        self.raised: list[BaseException] = []
        self._how: dict[str, Any] = {"where": where, "gap": gap}

    async def _pour(self, policy: int, stream: enkaku.ServerStream[str]) -> int:
        self.streams.append(stream)
        try:
            return await self.broadcast.serve(stream, when_full=POLICIES[policy], **self._how)
        except BaseException as error:
            self.raised.append(error)
            raise

    @asynccontextmanager
    async def subscribed(
        self, connection: enkaku.Connection, policy: Policy, **options: Any
    ) -> AsyncGenerator[enkaku.ClientStream[str, int], None]:
        """Open a stream, and wait until the broadcast serves it."""
        before = len(self.streams)
        async with connection.stream(POUR, POLICIES.index(policy), **options) as stream:
            await until(lambda: len(self.streams) > before)
            yield stream

    async def send(self, *numbers: int) -> None:
        async with asyncio.timeout(WITHIN):
            for number in numbers:
                await self.broadcast.send(text(number))


def text(number: int) -> str:
    return f"{number}".ljust(1000)


async def take(stream: enkaku.ClientStream[str, int], count: int) -> list[int]:
    async with asyncio.timeout(WITHIN):
        return [int(await anext(stream)) for _ in range(count)]


async def rest(stream: enkaku.ClientStream[str, int]) -> list[int]:
    async with asyncio.timeout(WITHIN):
        return [int(item) async for item in stream]


@pytest.mark.parametrize("policy", POLICIES)
async def test_broadcast_each_subscriber_receives_all_values_in_order(
    connect: Connect, policy: Policy
) -> None:
    hub = Hub()
    async with connect(hub.handler) as connection:
        async with hub.subscribed(connection, policy) as one:
            async with hub.subscribed(connection, policy) as other:
                for number in range(200):
                    await hub.send(number)
                    assert await take(one, 1) == await take(other, 1) == [number]
                hub.broadcast.close()
                assert await one.result() == await other.result() == 200
                assert await rest(one) == await rest(other) == []
    assert hub.broadcast.dropped == hub.broadcast.subscribers == 0


async def test_broadcast_value_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    slot, encode = POUR.receive, POUR.receive.encode

    def count(value: str) -> bytes:
        written.append(value)
        return encode(value)

    hub = Hub(replay=True)
    async with enkaku.connect_memory(hub.handler) as connection, AsyncExitStack() as stack:
        subscribing = (hub.subscribed(connection, "wait") for _ in range(20))
        streams = [await stack.enter_async_context(each) for each in subscribing]
        with monkeypatch.context() as patch:
            patch.setattr(slot, "encode", count)
            await hub.send(0, 1, 2)
            async with hub.subscribed(connection, "wait") as late:
                assert await take(late, 1) == [2]
            for stream in streams:
                assert await take(stream, 3) == [0, 1, 2]
    assert written == [text(number) for number in range(3)]


async def test_broadcast_values_of_one_iteration_are_written_together(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[list[int]] = []
    send = StreamCall.send_items_now

    def note(call: StreamCall, texts: Sequence[bytes]) -> bool:
        together.append([int(json.loads(each)) for each in texts])
        return send(call, texts)

    hub = Hub()
    async with connect(hub.handler) as connection:
        async with hub.subscribed(connection, "wait") as one:
            async with hub.subscribed(connection, "latest") as other:
                await turns()
                monkeypatch.setattr(StreamCall, "send_items_now", note)
                await hub.send(0, 1, 2)
                assert await take(one, 3) == await take(other, 3) == [0, 1, 2]
    assert together == [[0, 1, 2], [0, 1, 2]]


async def test_broadcast_handlers_own_items_keep_order(connect: Connect) -> None:
    hub = Hub(queue=100_000)
    async with connect(hub.handler) as connection:
        async with hub.subscribed(connection, "wait") as stream:
            await turns()
            for number in range(0, 9, 3):
                await hub.send(number, number + 1)
                await hub.streams[0].send(text(number + 2))
            assert await take(stream, 9) == list(range(9))


async def test_broadcast_values_sent_just_before_close_arrive(connect: Connect) -> None:
    hub = Hub()
    async with connect(hub.handler) as connection:
        async with hub.subscribed(connection, "wait") as stream:
            await turns()
            await hub.send(0, 1, 2)
            hub.broadcast.close()
            assert await rest(stream) == [0, 1, 2]
            assert await stream.result() == 3


async def test_broadcast_serve_channel_beside_other_tasks(connect: Connect) -> None:
    broadcast = enkaku.Broadcast(HUM)

    async def hum(channel: enkaku.ServerChannel[int, int]) -> None:
        async def answer() -> None:
            async for item in channel:
                await channel.send(-item)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(answer())
            await broadcast.serve(channel, when_full="wait")

    async with connect(Serving(hum=hum)) as connection:
        async with connection.channel(HUM, None) as channel, asyncio.timeout(WITHIN):
            await until(lambda: broadcast.subscribers == 1)
            await broadcast.send(1)
            assert await anext(channel) == 1
            await channel.send(2)
            assert await anext(channel) == -2
            await channel.end()
            await broadcast.send(3)
            assert await anext(channel) == 3
            assert await channel.close() is None
    assert broadcast.subscribers == 0


async def test_broadcast_replay_sends_last_value_to_new_subscriber(connect: Connect) -> None:
    for replay in (True, False):
        hub = Hub(replay=replay)
        await hub.send(1, 2)  # to nobody
        async with connect(hub.handler) as connection:
            async with hub.subscribed(connection, "wait") as stream:
                await hub.send(3)
                assert await take(stream, 1 + replay) == ([2, 3] if replay else [3])
            async with hub.subscribed(connection, "wait") as stream:
                hub.broadcast.close()
                assert await rest(stream) == ([3] if replay else [])
                assert await stream.result() == int(replay)


async def test_broadcast_latest_unread_keeps_only_newest(connect: Connect) -> None:
    hub, seen = Hub(), Recorder()
    async with connect(hub.handler, limits=SMALL, observers=[seen]) as connection:
        async with hub.subscribed(connection, "latest") as slow:
            async with hub.subscribed(connection, "wait") as fast:
                for number in range(50):
                    await hub.send(number)
                    assert await take(fast, 1) == [number]
                dropped = hub.streams[0].dropped
                hub.broadcast.close()
                got = await rest(slow)
                assert got[:3] == [0, 1, 2]
                assert got[-1] == 49
                assert len(got) == await slow.result() == 50 - dropped <= 6
    assert dropped == hub.broadcast.dropped == seen.dropped
    assert hub.streams[1].dropped == 0


async def test_broadcast_drop_oldest_keeps_what_fits(connect: Connect) -> None:
    hub, seen = Hub(), Recorder()
    async with connect(hub.handler, limits=SMALL, observers=[seen]) as connection:
        async with hub.subscribed(connection, "drop_oldest") as slow:
            await hub.send(*range(50))
            dropped = hub.streams[0].dropped
            hub.broadcast.close()
            got = await rest(slow)
            assert got[:3] == [0, 1, 2]
            assert got[-3:] == [47, 48, 49]
            assert len(got) == await slow.result() == 50 - dropped <= 8
    assert dropped == hub.broadcast.dropped == seen.dropped


@pytest.mark.parametrize("policy", ["wait", "drop_oldest"])
async def test_broadcast_item_larger_than_queue_waits_alone(
    connect: Connect, policy: Policy
) -> None:
    hub = Hub(queue=10)
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, policy) as slow, asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(hub.send(*range(50)))
            await turns()
            assert sending.done() is (policy != "wait")
            got = await take(slow, 5)
            while got[-1] != 49:
                got += await take(slow, 1)
            assert got[:3] == [0, 1, 2]
            assert len(got) + hub.broadcast.dropped == 50
            assert (hub.broadcast.dropped > 40) is (policy != "wait")


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]
)
async def test_broadcast_values_of_any_size_keep_order(connect: Connect, seed: int) -> None:
    """A small one may find room where a large one before it has to wait: it must not overtake."""
    chance = random.Random(seed)
    hub = Hub(gap=lambda count: f"-{count}")
    got: list[list[int]] = [[], [], []]
    count = 60

    async def read(stream: enkaku.ClientStream[str, int], into: list[int]) -> None:
        async for item in stream:
            into.append(int(item))
            await turns(chance.randrange(4))

    async def send(numbers: list[int]) -> None:
        while numbers:
            number = numbers.pop()
            await hub.broadcast.send(f"{number}".ljust(chance.choice([1, 10, 1000, 3000, 5000])))

    async with connect(hub.handler, limits=SMALL) as connection, asyncio.timeout(WITHIN):
        async with (
            hub.subscribed(connection, "wait") as wait,
            hub.subscribed(connection, "latest") as latest,
            hub.subscribed(connection, "drop_oldest") as oldest,
        ):
            readers = asyncio.gather(*map(read, (wait, latest, oldest), got))
            numbers = list(reversed(range(count)))
            await asyncio.gather(*(send(numbers) for _ in range(3)))
            hub.broadcast.close()
            await readers
    assert got[0] == list(range(count))
    for each in got:
        expected = 0
        for number in each:
            assert number < 0 or number == expected
            expected += -number if number < 0 else 1
        assert expected == count


@pytest.mark.parametrize("later", range(5))
async def test_broadcast_subscriber_catching_up_receives_no_duplicates(later: int) -> None:
    """Credit comes for it between two values: it has the first of them before those who keep up, and then keeps up."""
    hub = Hub()
    async with (
        enkaku.connect_memory(hub.handler, limits=SMALL) as connection,
        hub.subscribed(connection, "wait") as fast,
        hub.subscribed(connection, "wait") as slow,
    ):
        for number in range(4):  # the last one waits for credit
            await hub.send(number)
            assert await take(fast, 1) == [number]
        assert await take(slow, 1) == [0]
        await turns()
        send_later(hub, 4, later)
        assert await take(slow, 1) == [1]  # returns credit
        send_later(hub, 5, later)
        await turns(later + 2)
        hub.broadcast.close()
        assert await rest(fast) == [4, 5]
        assert await rest(slow) == [2, 3, 4, 5]


def send_later(hub: Hub, number: int, turns_of_the_loop: int) -> None:
    """Send a value after so many turns of the event loop."""
    if turns_of_the_loop:
        loop = asyncio.get_running_loop()
        loop.call_soon(send_later, hub, number, turns_of_the_loop - 1)
    else:
        hub.broadcast.send_nowait(text(number))


async def test_broadcast_disconnect_ends_slow_reader_with_ekp02(connect: Connect) -> None:
    hub = Hub()
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "disconnect") as slow:
            async with hub.subscribed(connection, "wait") as fast:
                for number in range(50):
                    await hub.send(number)
                    assert await take(fast, 1) == [number]
                assert hub.broadcast.subscribers == 1
                with pytest.raises(enkaku.CallError, match="reads too slowly") as caught:
                    await slow.result()
                assert caught.value.code == "EKP02"
                await hub.send(50)
                assert await take(fast, 1) == [50]
    assert isinstance(hub.raised[0], enkaku.HandlerError)


async def test_broadcast_wait_delivers_to_others_first(
    connect: Connect,
) -> None:
    hub = Hub()
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "wait") as slow:
            async with hub.subscribed(connection, "wait") as fast:
                sending = asyncio.create_task(hub.send(*range(20)))
                # Three fit the window, one is on its way, three wait in the queue, and the sender has one more.
                assert await take(fast, 8) == list(range(8))
                await turns()
                assert not sending.done()
                assert await take(slow, 8) == list(range(8))
                for number in range(8, 20):
                    assert await take(slow, 1) == await take(fast, 1) == [number]
                async with asyncio.timeout(WITHIN):
                    await sending
    assert hub.broadcast.dropped == 0


async def test_broadcast_wait_ends_after_patience(connect: Connect) -> None:
    hub = Hub(patience=0.05)
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "wait") as slow:
            await hub.send(*range(20))
            await until(lambda: hub.broadcast.subscribers == 0)
            with pytest.raises(enkaku.CallError, match="reads too slowly") as caught:
                await slow.result()
    assert caught.value.code == "EKP02"


@pytest.mark.parametrize("way", ["abort", "close", "break", "finish"])
async def test_broadcast_wait_ends_when_subscriber_leaves(connect: Connect, way: str) -> None:
    hub = Hub(patience=None)
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "wait") as slow:
            sending = asyncio.create_task(hub.send(*range(20)))
            await until(lambda: hub.streams[0].call.items_sent == 3)
            await turns()
            assert not sending.done()
            if way == "abort":
                slow.abort()
            elif way == "close":
                assert await slow.close() == 3
            elif way == "finish":
                hub.broadcast.close()
                await turns()
                assert not sending.done(), "what was sent before the end is still owed"
                # The values behind it are too late.
                assert await rest(slow) == list(range(await slow.result()))
        async with asyncio.timeout(WITHIN):
            if way == "finish":
                with pytest.raises(enkaku.UsageError, match="the broadcast of pour is closed"):
                    await sending
            else:
                await sending
        await until(lambda: hub.broadcast.subscribers == 0)


async def test_broadcast_wait_ends_when_connection_is_lost(socket_path: Path) -> None:
    hub = Hub(patience=None)
    async with enkaku.serve_unix(hub.handler, socket_path) as server:
        async with raw_client(socket_path) as raw:
            raw.stall()
            raw.send(typ="stream", rid="s", prc="pour", prm=0)
            await until(lambda: hub.broadcast.subscribers == 1)
            sending = asyncio.create_task(hub.send(*range(2000)))
            sent = -1
            while sent != hub.streams[0].call.items_sent:
                sent = hub.streams[0].call.items_sent
                await turns()
            assert not sending.done()
            raw.writer.transport.abort()
            async with asyncio.timeout(WITHIN):
                await sending
        await until(lambda: not server.connections)
    assert hub.broadcast.subscribers == 0


async def test_broadcast_cancelled_sends_leave_nothing(connect: Connect) -> None:
    hub = Hub()
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "wait") as slow:
            async with hub.subscribed(connection, "wait") as fast:
                sending = asyncio.create_task(hub.send(*range(7)))
                assert await take(fast, 7) == list(range(7))
                await sending
                for number in range(7, 100):
                    sending = asyncio.create_task(hub.send(number))
                    assert await take(fast, 1) == [number]
                    sending.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await sending
                hub.broadcast.close()
                assert await rest(slow) == list(range(7))
                assert hub.streams[0].dropped == hub.broadcast.dropped == 93


async def test_broadcast_cancelled_send_is_counted_in_gap(connect: Connect) -> None:
    hub = Hub(gap=lambda count: f"-{count}")
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "wait") as slow:
            await hub.send(*range(7))
            sending = asyncio.create_task(hub.send(7))
            await turns()
            sending.cancel()
            await asyncio.wait({sending})
            got = await take(slow, 8)
            assert sorted(got) == [-1, *range(7)]
            await hub.send(8)
            assert await take(slow, 1) == [8]
    assert hub.broadcast.dropped == 1


async def test_broadcast_concurrent_senders_share_queue_limit(
    connect: Connect,
) -> None:
    hub = Hub()
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "wait") as slow, asyncio.TaskGroup() as tasks:
            sending = [tasks.create_task(hub.send(number)) for number in range(60)]
            await turns()
            assert sum(each.done() for each in sending) == 7
            assert await take(slow, 10) == list(range(10))
            await turns(50)
            assert sum(each.done() for each in sending) <= 10 + 7
            assert await take(slow, 50) == list(range(10, 60))


async def test_broadcast_concurrent_senders_keep_order(
    connect: Connect,
) -> None:
    hub = Hub()
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "wait") as slow:
            async with hub.subscribed(connection, "wait") as fast, asyncio.TaskGroup() as tasks:
                for number in range(30):
                    tasks.create_task(hub.send(number))
                assert await take(fast, 30) == list(range(30))
                assert await take(slow, 30) == list(range(30))


async def test_broadcast_where_filters_values(connect: Connect) -> None:
    wanted = {1, 3}
    hub = Hub(where=lambda item: int(item) in wanted, replay=True)
    await hub.send(0)
    async with connect(hub.handler) as connection:
        async with hub.subscribed(connection, "wait") as stream:
            await hub.send(1, 2, 3)
            wanted.add(4)  # a filter may change its mind
            await hub.send(4)
            assert await stream.close() == 3
            assert await rest(stream) == [1, 3, 4]


async def test_broadcast_where_raising_ends_only_its_call(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub()

    async def watch(_: int, stream: enkaku.ServerStream[int]) -> int:
        return await numbers.serve(stream, when_full="wait", where=lambda item: 1 // item > 5)

    numbers = enkaku.Broadcast(WATCH, replay=True)
    async with connect(Serving(watch=watch)) as connection:
        async with connection.stream(WATCH, 0) as stream:
            await until(lambda: numbers.subscribers == 1)
            await numbers.send(1)
            assert numbers.subscribers == 1
            await numbers.send(0)
            with pytest.raises(enkaku.CallError) as caught:
                await stream.result()
            assert caught.value.code == "EK01"
        async with connection.stream(WATCH, 0) as stream:  # and for the replayed one
            with pytest.raises(enkaku.CallError) as caught:
                await stream.result()
            assert caught.value.code == "EK01"
    assert numbers.subscribers == hub.broadcast.subscribers == 0
    assert caplog.text.count("ZeroDivisionError") == 2


@pytest.mark.parametrize("policy", ["latest", "drop_oldest"])
async def test_broadcast_gap_item_marks_lost_values(connect: Connect, policy: Policy) -> None:
    hub = Hub(gap=lambda count: f"-{count}")
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, policy) as slow:
            await hub.send(*range(50))
            got = await take(slow, 4)
            await until(lambda: hub.streams[0].call.items_sent > 6)
            await hub.send(50)
            hub.broadcast.close()
            got += await rest(slow)
            assert len(got) == await slow.result()
    expected = 0
    for number in got:
        if number < 0:
            expected += -number
        else:
            assert number == expected
            expected += 1
    assert expected == 51
    assert sum(-number for number in got if number < 0) == hub.broadcast.dropped > 30


async def test_broadcast_gap_item_invalid_ends_only_its_call(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    unfit: Any = 5
    hub = Hub(gap=lambda _: unfit)
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "latest") as slow:
            await hub.send(*range(50))
            with pytest.raises(enkaku.CallError):
                await rest(slow)
    assert isinstance(hub.raised[0], enkaku.EncodeError)


async def test_broadcast_invalid_value_is_sent_to_no_subscriber(connect: Connect) -> None:
    hub = Hub(replay=True)
    unfit: Any = 5
    async with connect(hub.handler) as connection:
        async with hub.subscribed(connection, "wait") as stream:
            with pytest.raises(enkaku.EncodeError, match="pour receive"):
                await hub.broadcast.send(unfit)
            with pytest.raises(enkaku.EncodeError, match="pour receive"):
                hub.broadcast.send_nowait(unfit)
            await hub.send(1)
            assert await take(stream, 1) == [1]


async def test_broadcast_send_nowait_ends_slow_wait_subscriber(connect: Connect) -> None:
    hub = Hub()
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "wait") as slow:
            async with hub.subscribed(connection, "drop_oldest") as other:
                for number in range(20):
                    hub.broadcast.send_nowait(text(number))
                    await turns()
                assert hub.broadcast.subscribers == 1
                with pytest.raises(enkaku.CallError, match="reads too slowly"):
                    await slow.result()
                hub.broadcast.close()
                assert (await rest(other))[-1] == 19


async def test_broadcast_late_subscriber_gets_last_value_and_end(connect: Connect) -> None:
    hub = Hub(replay=True)
    await hub.send(1, 2)
    hub.broadcast.close()
    async with connect(hub.handler) as connection:
        async with hub.subscribed(connection, "wait") as stream:
            assert await rest(stream) == [2]
            assert await stream.result() == 1


async def test_broadcast_closed_rejects_send_and_allows_close() -> None:
    hub = Hub()
    hub.broadcast.close()
    hub.broadcast.close()
    assert hub.broadcast.closed
    assert repr(hub.broadcast) == "<broadcast of pour: 0 subscribers, closed>"
    with pytest.raises(enkaku.UsageError, match="the broadcast of pour is closed"):
        await hub.send(1)
    with pytest.raises(enkaku.UsageError, match="the broadcast of pour is closed"):
        hub.broadcast.send_nowait("")


async def test_broadcast_stream_of_other_procedure_is_rejected(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub()
    other: Any = enkaku.Broadcast(WATCH)
    hub.broadcast = other
    async with connect(hub.handler) as connection:
        async with connection.stream(POUR, 0) as stream:
            with pytest.raises(enkaku.CallError):
                await stream.result()
    assert "a broadcast of watch cannot serve a call of pour" in caplog.text
    assert isinstance(hub.raised[0], enkaku.UsageError)
    assert other.subscribers == 0


@pytest.mark.parametrize("options", [{"queue": 0}, {"patience": 0.0}])
def test_broadcast_zero_bounds_are_rejected(options: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="queue and patience must be more than 0"):
        enkaku.Broadcast(POUR, **options)


async def test_broadcast_subscribers_get_results_when_server_stops(
    socket_path: Path,
) -> None:
    hub = Hub()
    async with enkaku.serve_unix(hub.handler, socket_path) as server:
        async with enkaku.connect_unix(socket_path) as connection:
            async with hub.subscribed(connection, "wait") as stream:
                await hub.send(1, 2)
                await server.stop()
                assert await rest(stream) == [1, 2]
                assert await stream.result() == 2
    assert hub.broadcast.subscribers == 0


async def test_broadcast_serve_creates_no_tasks(connect: Connect) -> None:
    hub = Hub()
    async with connect(hub.handler, limits=SMALL) as connection:
        async with hub.subscribed(connection, "latest"), hub.subscribed(connection, "drop_oldest"):
            await turns()
            before = asyncio.all_tasks()
            await hub.send(*range(20))
            assert hub.broadcast.dropped > 10
            assert asyncio.all_tasks() == before


async def test_broadcast_sender_that_never_waits_yields(connect: Connect) -> None:
    hub = Hub()
    async with connect(hub.handler) as connection:
        async with hub.subscribed(connection, "latest"):

            async def send() -> None:
                while True:
                    await hub.broadcast.send("")

            sending = asyncio.create_task(send())
            async with asyncio.timeout(WITHIN):
                for _ in range(5):
                    await connection.request(VOID, None)
            assert not sending.done()
            sending.cancel()
            await asyncio.wait({sending})


async def test_broadcast_ended_calls_are_freed(connect: Connect) -> None:
    hub = Hub()
    async with connect(hub.handler, limits=SMALL) as connection:
        for policy in POLICIES * 5:
            async with hub.subscribed(connection, policy):
                await hub.send(1, 2)
        await until(lambda: hub.broadcast.subscribers == 0)
        calls = [weakref.ref(stream.call) for stream in hub.streams]
        hub.streams.clear()
        hub.raised.clear()
        await turns()
        gc.collect()
        assert [call() for call in calls] == [None] * 20


def test_broadcast_works_in_successive_event_loops() -> None:
    hub = Hub(replay=True)

    async def use(number: int, expected: list[int]) -> None:
        async with enkaku.connect_memory(hub.handler) as connection:
            async with hub.subscribed(connection, "wait") as stream:
                await hub.send(number)
                assert await take(stream, len(expected)) == expected
            await until(lambda: hub.broadcast.subscribers == 0)

    asyncio.run(use(1, [1]))
    asyncio.run(use(2, [1, 2]))
    hub.broadcast.send_nowait(text(3))  # to nobody, and from no loop
    asyncio.run(use(4, [3, 4]))


async def test_broadcast_send_from_other_event_loop_raises() -> None:
    hub = Hub()
    async with enkaku.connect_memory(hub.handler) as connection:
        async with hub.subscribed(connection, "wait") as stream:
            for foreign in (
                lambda: asyncio.run(hub.send(1)),
                lambda: hub.broadcast.send_nowait(""),
            ):
                with pytest.raises(enkaku.UsageError, match="calls of another event loop"):
                    await asyncio.to_thread(foreign)
            await hub.send(2)
            assert await take(stream, 1) == [2]


async def test_broadcast_from_logging_handler(connect: Connect) -> None:
    hub = Hub()

    class Feed(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            hub.broadcast.send_nowait(record.getMessage())

    logger = logging.getLogger("test_broadcast")
    logger.addHandler(feed := Feed())
    try:
        async with connect(hub.handler) as connection:
            async with hub.subscribed(connection, "drop_oldest") as stream:
                logger.error("%d", 7)
                assert await take(stream, 1) == [7]
    finally:
        logger.removeHandler(feed)


async def test_broadcast_stalled_client_does_not_delay_others(socket_path: Path) -> None:
    """Over real sockets, without credits: what fills up is the socket itself."""
    hub = Hub()
    done = asyncio.Event()
    async with enkaku.serve_unix(hub.handler, socket_path) as server:
        async with raw_client(socket_path) as raw, enkaku.connect_unix(socket_path) as connection:
            raw.stall()
            for number, policy in enumerate(POLICIES[1:], 1):
                raw.send(typ="stream", rid=policy, prc="pour", prm=number)
            await until(lambda: hub.broadcast.subscribers == 3)
            async with hub.subscribed(connection, "wait") as stream:

                async def send() -> None:
                    await hub.send(*range(2000))
                    done.set()

                sending = asyncio.create_task(send())
                assert await take(stream, 2000) == list(range(2000))
                await soon(done)
                await sending
                assert hub.broadcast.subscribers == 3  # one of the four was disconnected
                assert hub.broadcast.dropped > 1000
                hub.broadcast.close()
                assert await stream.result() == 2000
        await until(lambda: not server.connections)
