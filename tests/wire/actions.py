"""Replays recordings of the TypeScript client by the generated client.

A function is named after its recording, and returns what the user observed, in the form of the recordings' index.
``raw_user`` replays recordings of a raw socket from their messages, except two that are here.
"""

import asyncio
from typing import Any

import pytest
from enkaku import CallClosed, CallError, Channel, Event, Request, Stream, UsageError
from recorded import (
    ChatParam,
    CounterParam,
    FailParam,
    LogsWatchParam,
    LogsWatchSend,
    MathDivideParam,
    MetricsStreamParam,
    StreamFailParam,
    SystemRestartParam,
    TickerParam,
)
from wire.stage import Stage, outcome, take, take_all


async def request_ok(stage: Stage) -> Any:
    return await outcome(stage.client.system_restart(SystemRestartParam(service="web")))


async def request_default_id(stage: Stage) -> Any:
    return await outcome(stage.client.echo({"a": 1}))


async def request_no_param(stage: Stage) -> Any:
    return await outcome(stage.client.void())


async def request_falsy_params(stage: Stage) -> Any:
    return {
        "zero": await outcome(stage.client.any_echo(0)),
        "empty": await outcome(stage.client.any_echo("")),
        "false": await outcome(stage.client.any_echo(False)),
        "null": await outcome(stage.client.any_echo(None)),
    }


async def request_any_params(stage: Stage) -> Any:
    return {
        "s": await outcome(stage.client.any_echo("text")),
        "n": await outcome(stage.client.any_echo(42)),
        "t": await outcome(stage.client.any_echo(True)),
        "a": await outcome(stage.client.any_echo([1, None, {"b": 2}])),
    }


async def request_undefined_inside(stage: Stage) -> Any:
    return await outcome(
        stage.client.echo(
            {
                "arr": [None, None],
                "nan": None,
                "inf": None,
                "negzero": -0.0,
                "big": 1e21,
                "small": 1e-7,
                "int": 2**53,
                "date": "1970-01-01T00:00:00.000Z",
            }
        )
    )


async def request_unicode(stage: Stage) -> Any:
    return await outcome(
        stage.client.echo(
            {
                "emoji": "😀👩\u200d👩\u200d👧",
                "ls": "a\u2028b\u2029c",
                "nl": 'x\ny\r\nz\t"q"\\/',
                "nul": "a\0b\x7f",
                "lone": "\ud800",
                "ключ": "значение",
            }
        )
    )


async def handler_error(stage: Stage) -> Any:
    param = MathDivideParam(numerator=7, denominator=0)
    return await outcome(stage.client.math_divide(param))


async def handler_error_plain(stage: Stage) -> Any:
    return {
        kind: await outcome(stage.client.fail(FailParam(kind=kind)))
        for kind in ("error", "string", "empty")
    }


async def kind_mismatch(stage: Stage) -> Any:
    # The generated client has no such calls: a client of another protocol makes them.
    counter = Request("counter", param=object, result=object)
    echo = Stream("echo", param=object, receive=object, result=object)
    seen = {"a": await outcome(stage.connection.request(counter, {"max": 1}))}
    async with stage.connection.stream(echo, {}) as stream:
        seen["b"] = await outcome(stream.result())
    return seen


async def invalid_param(stage: Stage) -> Any:
    # The generated client rejects these (another test checks it): a client of a looser protocol sends them.
    restart = Request("system/restart", param=object, result=object)
    counter = Stream("counter", param=object, receive=object, result=object)
    logs = Channel("logs/watch", param=object, send=object, receive=object, result=object)
    call = stage.connection.request
    seen = {
        "type": await outcome(call(restart, {"service": 5})),
        "missing": await outcome(call(restart, {"x": 1})),
        "extra": await outcome(call(restart, {"service": "a", "x": 1})),
    }
    async with stage.connection.stream(counter, {"max": "x"}) as stream:
        seen["stream"] = await outcome(stream.result())
    async with stage.connection.channel(logs, {"level": "nope"}) as channel:
        seen["channel"] = await outcome(channel.result())
    return seen


async def event_invalid(stage: Stage) -> Any:
    # As above: by a client of another protocol.
    await stage.connection.event(Event("nope", data=object), {"a": 1})
    await stage.connection.event(Event("note"), None)
    return await outcome(stage.client.echo({}))


async def stream_ok_fast(stage: Stage) -> Any:
    async with stage.client.counter(CounterParam(max=5)) as stream:
        return {"items": await take_all(stream), "result": await outcome(stream.result())}


async def stream_handler_error(stage: Stage) -> Any:
    async with stage.client.stream_fail(StreamFailParam(after=2)) as stream:
        return {"items": await take_all(stream), "result": await outcome(stream.result())}


async def metrics(stage: Stage) -> Any:
    async with stage.client.metrics_stream(MetricsStreamParam(interval=15)) as stream:
        items = await take(stream, 2)
        return {"items": len(items), "result": await outcome(stream.close())}


async def stream_abort(stage: Stage) -> Any:
    async with stage.client.ticker(TickerParam(interval=20)) as stream:
        await take(stream, 2)
        stream.abort("reason")
        seen = {"result": await outcome(stream.result())}
    return seen | {"probe": await outcome(stage.client.aborts_list())}


async def stream_close(stage: Stage) -> Any:
    async with stage.client.ticker(TickerParam(interval=20)) as stream:
        await take(stream, 2)
        return {"result": await outcome(stream.close()), "rest": await take_all(stream)}


async def stream_abort_close_string(stage: Stage) -> Any:
    async with stage.client.ticker(TickerParam(interval=20)) as stream:
        await take(stream, 2)
        with pytest.raises(UsageError):
            stream.abort("Close")
        return {"result": await outcome(stream.close())}


async def stream_abort_object(stage: Stage) -> Any:
    async with stage.client.ticker(TickerParam(interval=20)) as stream:
        await take(stream, 2)
        stream.abort("some object")
        return {"result": await outcome(stream.result())}


async def request_signal_timeout(stage: Stage) -> Any:
    try:
        async with asyncio.timeout(0.01):
            return await outcome(stage.client.slow())
    except TimeoutError:
        return {"rejected": "TimeoutError"}


async def request_abort(stage: Stage) -> Any:
    call = asyncio.create_task(stage.client.slow())
    await stage.play.opened("r1")
    call.cancel()
    return await outcome(call)


request_abort_close = request_abort


async def channel_abort(stage: Stage) -> Any:
    async with stage.client.chat(ChatParam()) as channel:
        await channel.send({"n": 1})
        await take(channel, 1)
        channel.abort("reason")
        return {"result": await outcome(channel.result())}


async def channel_send_after_close(stage: Stage) -> Any:
    async with stage.client.logs_watch(LogsWatchParam(level="error")) as channel:
        await take(channel, 1)
        closing = asyncio.create_task(channel.close())
        await stage.play.crossed(3)
        with pytest.raises(CallClosed):
            await channel.send(LogsWatchSend(level="info"))
        alive = await outcome(stage.client.echo({}))
        return {"result": await outcome(closing), "alive": alive}


async def channel_writable_close(stage: Stage) -> Any:
    # The directions of Enkaku's channel end together: the writable one cannot be closed alone.
    async with stage.client.chat(ChatParam()) as channel:
        await channel.send({"n": 1})
        await take(channel, 1)
        return {"result": await outcome(channel.close())}


async def channel_invalid_send(stage: Stage) -> Any:
    # The generated client rejects the item (another test checks it): a client of a looser protocol sends it.
    chat = Channel("chat", param=object, send=object, receive=object, result=object)
    async with stage.connection.channel(chat, {}) as channel:
        await channel.send("nope")
        seen = {"result": await outcome(channel.result())}
        with pytest.raises(CallError, match="EK08"):
            await channel.send({"after": "error"})
        return seen


async def channel_send_immediately(stage: Stage) -> Any:
    async with stage.client.chat(ChatParam()) as channel:
        for item in ({"n": 1}, {"n": 2}, {"end": True}):
            await channel.send(item)
        return {"items": await take_all(channel)}


async def interleaved(stage: Stage) -> Any:
    param = CounterParam(max=3, interval=10)
    async with stage.client.counter(param) as a, stage.client.counter(param) as b:
        r = asyncio.create_task(stage.client.echo({"mid": 1}))
        d = asyncio.create_task(stage.client.system_restart(SystemRestartParam(service="x")))
        return {
            "a": len(await take_all(a)),
            "b": len(await take_all(b)),
            "ra": await outcome(a.result()),
            "rb": await outcome(b.result()),
            "r": await outcome(r),
            "d": await outcome(d),
        }


async def same_rid_twice(stage: Stage) -> Any:
    a = asyncio.create_task(stage.client.system_restart(SystemRestartParam(service="one")))
    b = asyncio.create_task(stage.client.echo({"two": 2}))
    return {"a": await outcome(a), "b": await outcome(b)}


async def large_1mb(stage: Stage) -> Any:
    found = await stage.client.echo({"data": "x" * 1_000_000})
    return {"ok": len(str(found["data"]))}


async def message_too_large(stage: Stage) -> Any:
    return await outcome(stage.client.echo({"data": "x" * 3000}))


async def framing_max_buffer(stage: Stage) -> Any:
    big = asyncio.create_task(stage.client.echo({"data": "x" * 3000}))
    after = asyncio.create_task(stage.client.echo({}))
    return {"big": await outcome(big), "after": await outcome(after)}


async def server_dispose(stage: Stage) -> Any:
    async with stage.client.ticker(TickerParam(interval=30)) as stream:
        request = asyncio.create_task(stage.client.slow())
        await stage.play.opened("r1")
        async with stage.client.chat(ChatParam()) as channel:
            await take(stream, 2)
            return {
                "stream": await outcome(stream.result()),
                "request": await outcome(request),
                "channel": await outcome(channel.result()),
                "newRequest": await outcome(stage.client.echo({})),
            }


async def server_killed(stage: Stage) -> Any:
    request = asyncio.create_task(stage.client.slow())
    await stage.play.opened("r1")
    async with stage.client.ticker(TickerParam(interval=30)) as stream:
        await take(stream, 1)
        stage.play.kill()
        return {
            "request": await outcome(request),
            "stream": await outcome(stream.result()),
            "newRequest": await outcome(stage.client.echo({})),
        }


async def client_dispose(stage: Stage) -> Any:
    async with (
        stage.client.ticker(TickerParam(interval=20)) as stream,
        stage.client.chat(ChatParam()) as channel,
    ):
        request = asyncio.create_task(stage.client.slow())
        await take(stream, 1)
        await stage.connection.close()
        return {
            "stream": await outcome(stream.result()),
            "channel": await outcome(channel.result()),
            "request": await outcome(request),
        }


async def novalidate_unknown_procedure(stage: Stage) -> Any:
    # The generated client has no such calls: a client of another protocol makes them.
    unknown = Request("no/such", param=object, result=object)
    request = asyncio.create_task(stage.connection.request(unknown, {"a": 1}))
    await stage.play.opened("r1")
    procedure = Stream("no/such", param=object, receive=object, result=object)
    async with stage.connection.stream(procedure, {}) as stream:
        alive = await outcome(stage.client.echo({"alive": 1}))
        await stage.connection.close()
        return {
            "request": await outcome(request),
            "stream": await outcome(stream.result()),
            "alive": alive,
        }


async def novalidate_event_no_data(stage: Stage) -> Any:
    await stage.client.ping()
    return await outcome(stage.client.notes_list())


async def raw_dup_rid(stage: Stage) -> Any:
    slow = asyncio.create_task(stage.client.slow())
    await stage.play.opened("d")
    seen = {"d2": await outcome(stage.client.system_restart(SystemRestartParam(service="x")))}
    slow.cancel()
    return seen | {"d": await outcome(slow), "probe": await _probe(stage)}


async def raw_dup_rid_aborted_first(stage: Stage) -> Any:
    slow = asyncio.create_task(stage.client.slow())
    await stage.play.opened("d")
    seen = {"d2": await outcome(stage.client.echo({}))}
    slow.cancel()
    return seen | {"d": await outcome(slow), "probe": await _probe(stage)}


async def _probe(stage: Stage) -> Any:
    return await outcome(stage.client.echo({"probe": True}))
