"""The health of a server: what it answers to whom, and under which load."""

import asyncio
import json
import tracemalloc
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.server.health import HEALTH
from httpserving import echo, serving
from identity.peers import ALICE, SERVER
from rawhttp import message
from support import ASK, TELL, Connect, Lifetime, Raw, Serving, line, raw_client, soon

WHOLE = enkaku.Request[None, dict[str, object]](HEALTH, result=dict[str, object])
PART = enkaku.Request[dict[str, str], dict[str, object]](
    HEALTH, param=dict[str, str], result=dict[str, object]
)
PROBE = {"typ": "request", "rid": "h", "prc": HEALTH}


async def ask_health(peer: Raw, **fields: Any) -> dict[str, Any]:
    peer.send(**PROBE, **fields)
    return await peer.read()


def result(**value: object) -> dict[str, Any]:
    return {"typ": "result", "rid": "h", "val": value}


async def test_health_is_answered_over_every_transport(connect_anyhow: Connect) -> None:
    async with connect_anyhow(Serving()) as connection:
        assert (await connection.request(WHOLE, None))["serving"] is True
        assert (await connection.request(PART, {"part": "database"}))["serving"] is False


async def test_health_of_unix_client_has_details(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        async with raw_client(socket_path) as peer:
            assert await ask_health(peer) == result(serving=True, state="serving")
            server.health.set(serving=False, reason="migrates")
            server.health.set("database", serving=True)
            server.health.set("queue", serving=False, reason="no broker")
            queue = {"serving": False, "reason": "no broker"}
            parts = {"database": {"serving": True}, "queue": queue}
            assert await ask_health(peer) == result(
                serving=False, reason="migrates", state="not serving", parts=parts
            )
            assert await ask_health(peer, prm={"part": "database"}) == result(serving=True)
            assert await ask_health(peer, prm={"part": "queue"}) == result(**queue)
            unknown = result(serving=False, reason="the server has no part of this name")
            assert await ask_health(peer, prm={"part": "other"}) == unknown


async def test_health_without_identity_has_only_serving() -> None:
    async with enkaku.serve_tcp(Serving()) as server:
        server.health.set(serving=False, reason="secret")
        server.health.set("database", serving=False, reason="secret")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        peer = Raw(reader, writer)
        assert await ask_health(peer) == result(serving=False)
        for part in ("database", "no such part"):
            assert await ask_health(peer, prm={"part": part}) == result(serving=False)
        await peer.close()


@pytest.mark.parametrize(
    ("options", "detailed"),
    [
        ({"access": {"ask": "everybody"}}, False),
        ({"access": {"*": "everybody"}}, False),
        ({"access": {"enkaku:health": {"unix:1"}}}, False),
        ({"access": {"enkaku:health": lambda _: True}}, False),
        ({"access": {"enkaku:health": "identified"}}, True),
        ({"access": {"enkaku:*": "everybody"}}, True),
        ({"rate_limits": enkaku.RateLimits(per_connection=(0.001, 1))}, True),
        ({"identity": SERVER}, False),
        ({"identity": SERVER, "access": {"*": {ALICE.did}}}, False),
    ],
)
async def test_health_needs_no_right_and_details_need_a_rule(
    socket_path: Path, options: dict[str, Any], detailed: bool
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path, **options):
        async with raw_client(socket_path) as peer:
            for _ in range(150):  # more than a server accepts of messages without a signature
                answer = await ask_health(peer)
            assert answer == result(serving=True, **({"state": "serving"} if detailed else {}))


async def test_signed_health_is_answered(socket_path: Path) -> None:
    options: Any = {"identity": SERVER, "access": {"enkaku:health": "identified"}}
    async with enkaku.serve_unix(Serving(), socket_path, **options):
        async with enkaku.connect_unix(
            socket_path, identity=ALICE, audience=SERVER.did
        ) as connection:
            assert await connection.request(WHOLE, None) == {"serving": True, "state": "serving"}


@pytest.mark.parametrize("prm", [1, [], {"part": 1}, {"part": "x" * 2000}])
async def test_health_with_invalid_param_is_rejected(socket_path: Path, prm: object) -> None:
    async with enkaku.serve_unix(Serving(), socket_path), raw_client(socket_path) as peer:
        assert (await ask_health(peer, prm=prm))["code"] == "EK08"
        assert (await ask_health(peer))["typ"] == "result"


async def test_health_is_a_request_with_a_free_rid(socket_path: Path) -> None:
    serving = Lifetime()
    async with enkaku.serve_unix(Serving(ask=serving.forever), socket_path):
        async with raw_client(socket_path) as peer:
            peer.send(typ="stream", rid="h", prc=HEALTH)
            assert (await peer.read())["code"] == "EK08"
            peer.send(typ="request", rid="h", prc="ask", prm=1)
            await soon(serving.began)
            assert (await ask_health(peer))["code"] == "EK08"


async def test_health_is_answered_at_every_limit(socket_path: Path) -> None:
    serving, events = Lifetime(), Lifetime()
    limits = enkaku.Limits(calls=1, server_calls=1, handlers=1, server_handlers=1, buffered=2048)
    handler = Serving(ask=serving.forever, tell=events.forever)
    async with enkaku.serve_unix(handler, socket_path, limits=limits):
        async with enkaku.connect_unix(socket_path) as connection, raw_client(socket_path) as peer:
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(serving.began)
            await connection.event(TELL, 1)
            await soon(events.began)
            peer.send(typ="request", rid="1", prc="ask", prm=1)
            assert (await peer.read())["code"] == "EK03"
            assert (await ask_health(peer))["val"]["serving"] is True
            asking.cancel()
            await asyncio.wait({asking})


async def test_health_is_answered_while_memory_is_used_up(socket_path: Path) -> None:
    limits = enkaku.Limits(memory=200_000)
    async with enkaku.serve_unix(Serving(echo=echo), socket_path, limits=limits) as server:
        async with raw_client(socket_path) as peer, raw_client(socket_path) as other:
            bodies = server.new_capacity()
            bodies.hold(500_000)
            for _ in range(3):
                assert await ask_health(peer) == result(serving=True)
            peer.send(typ="request", rid="1", prc="echo", prm=HEALTH)  # a call, which waits
            assert await ask_health(other) == result(serving=True)
            assert not server.connections[0].calls
            bodies.hold(-500_000)
            assert await peer.read() == {"typ": "result", "rid": "1", "val": HEALTH}


async def test_health_while_draining_is_stopping(socket_path: Path) -> None:
    serving = Lifetime()
    async with enkaku.serve_unix(Serving(ask=serving.forever), socket_path) as server:
        async with raw_client(socket_path) as peer:
            peer.send(typ="request", rid="1", prc="ask", prm=1)
            await soon(serving.began)
            server.health.set("database", serving=True)
            server.drain()
            stopping = {"serving": False, "reason": "the server is stopping"}
            answer = await ask_health(peer)
            assert answer == result(**stopping, state="stopping", parts={"database": stopping})
            assert server.health.state == "stopping"
            assert not server.health.is_serving("database")
            peer.send(typ="abort", rid="1")
            await soon(serving.ended)


async def test_health_over_http_is_a_post() -> None:
    async with serving(access={"ask": "everybody"}) as (app, site):
        probe = message(**PROBE)
        answered = await site.post(probe)
        assert (answered.status, answered.payload) == (200, result(serving=True))
        assert app.server is not None
        app.server.drain()
        assert (await site.post(probe)).status == 503


async def test_health_is_not_observed(socket_path: Path) -> None:
    seen: list[str] = []

    class Watching(enkaku.Observer):
        def call_started(self, call: enkaku.Call) -> None:
            seen.append(call.procedure.name)

        def access_denied(self, connection: object, procedure: str, reason: str) -> None:
            seen.append(reason)

        def invalid_message(self, connection: object, reason: str) -> None:
            seen.append(reason)

    options: Any = {"observers": [Watching()], "access": {"ask": "everybody"}}
    async with enkaku.serve_unix(Serving(), socket_path, **options) as server:
        async with raw_client(socket_path) as peer:
            await ask_health(peer)
            assert (seen, server.connections[0].calls) == ([], ())


async def test_health_flood_is_not_read_while_answers_are_not(socket_path: Path) -> None:
    limits = enkaku.Limits(backlog=100_000)
    async with enkaku.serve_unix(Serving(), socket_path, limits=limits):
        async with raw_client(socket_path, limit=1024) as peer:
            peer.send_bytes(line(**PROBE) * 200_000)
            left, unchanged = -1, 0
            while unchanged < 200:
                await asyncio.sleep(0)
                before, left = left, peer.writer.transport.get_write_buffer_size()
                unchanged = unchanged + 1 if left == before else 0
            assert left > 10_000_000
            peer.writer.transport.abort()


async def test_health_flood_does_not_hold_details(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        for number in range(100):
            server.health.set(f"part {number}", serving=False, reason="x" * 500)
        async with raw_client(socket_path, limit=2**17) as peer:
            details = len(json.dumps(await ask_health(peer)))
            assert details > 50_000
            tracemalloc.start()
            try:
                peer.send_bytes(line(**PROBE) * 2000)
                left, unchanged = -1, 0
                while unchanged < 200:
                    await asyncio.sleep(0)
                    before, left = left, tracemalloc.get_traced_memory()[1]
                    unchanged = unchanged + 1 if left == before else 0
            finally:
                tracemalloc.stop()
            assert left < 100 * details
            peer.writer.transport.abort()


@pytest.mark.parametrize(
    "arguments",
    [
        {"part": 1, "serving": True},
        {"part": "x" * 129, "serving": True},
        {"serving": 1},
        {"serving": False, "reason": None},
    ],
)
async def test_health_set_with_wrong_argument_raises(
    socket_path: Path, arguments: dict[str, Any]
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        with pytest.raises(enkaku.UsageError, match=r"health\.set"):
            server.health.set(**arguments)


async def test_health_has_at_most_100_parts(socket_path: Path) -> None:
    async with enkaku.serve_unix(Serving(), socket_path) as server:
        for number in range(100):
            server.health.set(f"part {number}", serving=True)
        server.health.set("part 99", serving=False)
        with pytest.raises(enkaku.UsageError, match="at most 100 parts"):
            server.health.set("part 100", serving=True)


def test_health_before_the_start_is_starting() -> None:
    health = enkaku.Health(lambda: False)
    assert (health.state, health.is_serving()) == ("starting", False)
    health.started()
    assert (health.state, health.is_serving()) == ("serving", True)
