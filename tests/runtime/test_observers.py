"""Observers and interceptors: who is told what, on either side, and who may refuse."""

import asyncio
import gc
import os
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import enkaku
import pytest
from enkaku.testing.memory import connect_memory
from support import (
    ASK,
    TALK,
    TELL,
    VOID,
    WATCH,
    WITHIN,
    Connect,
    Lifetime,
    Serving,
    raw_client,
    soon,
    until,
)
from watching import Recorder


async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
    async for item in channel:
        await channel.send(item)
    return number


def handler(life: Lifetime) -> Serving:
    async def ask(number: int) -> int:
        if number < 0:
            raise enkaku.HandlerError("NEGATIVE", "less than 0")
        return number

    async def tell(number: int) -> None:
        return None

    return Serving(ask=ask, tell=tell, talk=talk, watch=life.forever)


async def test_observers_see_every_call_and_outcome_on_both_sides(connect: Connect) -> None:
    here, there, life = Recorder(), Recorder(), Lifetime()
    async with connect(handler(life), observers=[there], client_observers=[here]) as connection:
        await connection.request(ASK, 1)
        with pytest.raises(enkaku.CallError):
            await connection.request(ASK, -1)
        await connection.event(TELL, 1)
        async with connection.channel(TALK, 5) as channel:
            for item in range(3):
                await channel.send(item)
                await anext(channel)
            await channel.close()
        async with connection.stream(WATCH, 1):
            await soon(life.began)
        await until(lambda: len(there.ended) == 5)
    for side in (here, there):
        assert [(call.kind, call.outcome, call.code) for call in side.ended] == [
            ("request", "result", ""),
            ("request", "error", "NEGATIVE"),
            ("event", "result", ""),
            ("channel", "result", ""),
            ("stream", "aborted", ""),
        ]
        assert side.started == side.ended
        assert all(call.duration >= 0 and call.ended is not None for call in side.ended)
        assert len(side.opened) == len(side.lost) == 1
    ours, theirs = here.ended[3], there.ended[3]
    assert (ours.items_sent, ours.items_received) == (theirs.items_received, theirs.items_sent)
    assert (ours.items_sent, ours.items_received) == (3, 3)
    assert ours.rid == theirs.rid
    assert ours.bytes_sent > 0
    assert ours.bytes_received > 0
    assert (ours.param, theirs.param) == (5, 5)
    assert "result" in repr(ours)


async def test_observers_see_lost_connection_with_reason_and_calls(socket_path: Path) -> None:
    here, there, life = Recorder(), Recorder(), Lifetime()
    async with enkaku.serve_unix(handler(life), socket_path, observers=[there]) as server:
        async with enkaku.connect_unix(socket_path, observers=[here]) as connection:
            async with connection.stream(WATCH, 1):
                await soon(life.began)
                (call,) = connection.calls
                (info,) = server.connections
                assert (call.procedure.name, info.calls[0].procedure.name) == ("watch", "watch")
                assert "1 open calls" in repr(info)
                assert info.duration >= 0
                server.abort()
                await until(lambda: bool(here.lost))
                assert here.ended[0].outcome == "lost"
        await until(lambda: bool(there.lost))
    assert [kind for kind, _ in there.told if kind != "draining"] == [
        *("opened", "started", "ended", "lost"),
    ]


async def test_observers_see_invalid_messages(socket_path: Path) -> None:
    seen = Recorder()
    async with enkaku.serve_unix(Serving(), socket_path, observers=[seen]):
        async with raw_client(socket_path) as peer:
            peer.send_bytes(b"nonsense\n")
            peer.send(typ="request", rid="a", prc="nobody")
            await peer.settle()
    assert len(seen.invalid) == 2
    assert "nobody" in seen.invalid[1]


def _raise() -> None:
    raise RuntimeError("broken observer")


def _find_it_cancelled() -> None:
    """Ask for the result of a future that is cancelled: that looks as if the task here were."""
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    gone.result()


@pytest.mark.parametrize("fail", [_raise, _find_it_cancelled])
async def test_observer_raising_harms_no_call_and_no_other_observer(
    connect: Connect, caplog: pytest.LogCaptureFixture, fail: Callable[[], None]
) -> None:
    class Broken(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            fail()

        call_ended = call_started

    seen = Recorder()
    both = [Broken(), seen]
    async with connect(Serving(), observers=both, client_observers=both) as connection:
        for _ in range(2):
            await connection.request(VOID, None)
        assert connection.calls == ()
    assert len(seen.ended) == 4
    assert caplog.text.count("an observer failed") == 8


async def test_observers_see_drain_with_remaining_calls(socket_path: Path) -> None:
    seen, life = Recorder(), Lifetime()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        with life:
            async with stream.until_closed():
                await asyncio.Event().wait()
        return number

    async with enkaku.serve_unix(Serving(watch=watch), socket_path, observers=[seen]) as server:
        async with enkaku.connect_unix(socket_path) as one, enkaku.connect_unix(socket_path) as two:
            async with one.stream(WATCH, 1) as first, two.stream(WATCH, 2) as second:
                await until(lambda: life.began_count == 2)
                async with asyncio.timeout(WITHIN):
                    await server.stop(grace=WITHIN)
                assert (await first.result(), await second.result()) == (1, 2)
    assert seen.progress[0] == (2, 2)
    assert seen.progress[-1] == (0, 0)
    assert sorted(seen.progress, reverse=True) == seen.progress


def noting(notes: list[str], name: str) -> enkaku.Interceptor:
    @asynccontextmanager
    async def interceptor(call: enkaku.Call) -> AsyncGenerator[None, None]:
        notes.append(f"{name} before {call.kind}")
        try:
            yield
        except BaseException as error:
            notes.append(f"{name} {type(error).__name__}")
            raise
        notes.append(f"{name} after")

    return interceptor


async def test_interceptors_wrap_all_four_kinds_on_both_sides(connect: Connect) -> None:
    here: list[str] = []
    there: list[str] = []
    life = Lifetime()
    async with connect(
        handler(life),
        interceptors=[noting(there, "a"), noting(there, "b")],
        client_interceptors=[noting(here, "a"), noting(here, "b")],
    ) as connection:
        await connection.request(ASK, 1)
        await connection.event(TELL, 1)
        async with connection.channel(TALK, 1) as channel:
            await channel.close()
        with pytest.raises(enkaku.CallError):
            await connection.request(ASK, -1)
        async with connection.stream(WATCH, 1):
            await soon(life.began)
        await until(lambda: len(there) == 20)
    around = ["a before {}", "b before {}", "b after", "a after"]
    failed = ["a before {}", "b before {}", "b {}", "a {}"]
    calls = [each.format(kind) for kind in ("request", "event", "channel") for each in around]
    for side, error, stream in (
        (here, "CallError", ["b after", "a after"]),
        (there, "HandlerError", ["b CancelledError", "a CancelledError"]),
    ):
        assert side[:12] == calls
        assert side[12:16] == [failed[0].format("request"), failed[1].format("request")] + [
            each.format(error) for each in failed[2:]
        ]
        assert side[16:] == ["a before stream", "b before stream", *stream]


async def test_interceptor_may_reject_call_with_error(connect: Connect) -> None:
    life = Lifetime()

    @asynccontextmanager
    async def only_positive(call: enkaku.Call) -> AsyncGenerator[None, None]:
        if call.param == 0:
            raise enkaku.HandlerError("EK02", "Access denied")
        yield

    @asynccontextmanager
    async def never_nine(call: enkaku.Call) -> AsyncGenerator[None, None]:
        if call.param == 9:
            raise PermissionError("not nine")
        yield

    async with connect(
        handler(life), interceptors=[only_positive], client_interceptors=[never_nine]
    ) as connection:
        assert await connection.request(ASK, 1) == 1
        with pytest.raises(enkaku.CallError, match="Access denied") as caught:
            await connection.request(ASK, 0)
        assert caught.value.code == "EK02"
        async with connection.channel(TALK, 0) as channel:
            with pytest.raises(enkaku.CallError, match="EK02"):
                await channel.result()
        with pytest.raises(PermissionError):
            await connection.request(ASK, 9)
        with pytest.raises(PermissionError):
            async with connection.stream(WATCH, 9):
                pass
        assert connection.calls == ()
    assert not life.began.is_set()


async def test_interceptor_exits_when_next_one_rejects(connect: Connect) -> None:
    left = 0

    @asynccontextmanager
    async def outer(_: enkaku.Call) -> AsyncGenerator[None, None]:
        nonlocal left
        try:
            yield
        except PermissionError:
            left += 1
            raise

    @asynccontextmanager
    async def refusing(_: enkaku.Call) -> AsyncGenerator[None, None]:
        raise PermissionError("nobody")
        yield

    async with connect(handler(Lifetime()), client_interceptors=[outer, refusing]) as connection:
        with pytest.raises(PermissionError):
            await connection.request(ASK, 1)
        with pytest.raises(PermissionError):
            async with connection.stream(WATCH, 1):
                pass
        with pytest.raises(PermissionError):
            async with connection.channel(TALK, 1):
                pass
    assert left == 3


async def test_interceptor_swallowing_error_hides_no_failure(connect: Connect) -> None:
    @asynccontextmanager
    async def swallowing(call: enkaku.Call) -> AsyncGenerator[None, None]:
        try:
            yield
        except (enkaku.CallError, enkaku.HandlerError):
            return

    life = Lifetime()
    async with connect(handler(life), interceptors=[swallowing]) as connection:
        with pytest.raises(enkaku.CallError, match="EK01"):
            await connection.request(ASK, -1)
    async with connect(handler(life), client_interceptors=[swallowing]) as connection:
        with pytest.raises(enkaku.UsageError, match="suppressed"):
            await connection.request(ASK, -1)


async def test_interceptor_swallowing_error_of_event_is_told(connect: Connect) -> None:
    @asynccontextmanager
    async def swallowing(call: enkaku.Call) -> AsyncGenerator[None, None]:
        try:
            yield
        except enkaku.ConnectionLost:
            return

    @asynccontextmanager
    async def closing(call: enkaku.Call) -> AsyncGenerator[None, None]:
        raise enkaku.ConnectionLost("gone")
        yield

    async with connect(Serving(), client_interceptors=[swallowing, closing]) as connection:
        async with asyncio.timeout(WITHIN):
            with pytest.raises(enkaku.UsageError, match="suppressed"):
                await connection.event(TELL, 1)


async def test_connection_info_has_peer_credentials(socket_path: Path) -> None:
    seen = Recorder()
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with enkaku.connect_unix(socket_path, observers=[seen]) as connection:
            await connection.request(VOID, None)
            for info in (server.connections[0], connection.info, seen.opened[0]):
                credentials = info.credentials
                assert credentials is not None
                assert (credentials.pid, credentials.uid) == (os.getpid(), os.getuid())


async def test_call_allows_attributes_and_weak_references_and_is_freed(connect: Connect) -> None:
    calls: list[enkaku.Call] = []

    async def ask(number: int) -> int:
        calls.append(enkaku.current_call())
        return number

    notes: weakref.WeakKeyDictionary[object, str] = weakref.WeakKeyDictionary()
    async with connect(Serving(ask=ask, talk=talk)) as connection:
        assert await connection.request(ASK, 1) == 1
        async with connection.channel(TALK, 1) as channel:
            await channel.close()
            calls.append(channel.call)
        notes |= dict.fromkeys(calls, "a note")
        notes[connection.info] = "another"
        for call in calls:
            call.mine = call  # type: ignore[attr-defined] # a program's own, and a cycle
        assert [call.outcome for call in calls] == ["result"] * 2
        calls.clear()
        del call, channel
    del connection
    gc.collect()
    assert not notes


async def test_observers_see_end_of_cancelled_request() -> None:
    lifetime, recorder = Lifetime(), Recorder()
    async with connect_memory(
        Serving(ask=lifetime.forever), connection_options={"observers": [recorder]}
    ) as connection:
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(lifetime.began)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert [(call.procedure, call.outcome) for call in recorder.ended] == [(ASK, "aborted")]
