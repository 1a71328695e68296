"""WebSockets: the same handlers and clients, over any ASGI server."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku.transports.websocket.first_step import Rest, Writer, run_first_step
from enkaku.transports.websocket.transport import WebSocketTransport
from starlette.applications import Starlette
from starlette.routing import Mount
from support import ASK, ECHO, POUR, TALK, TELL, VOID, WATCH, Lifetime, Serving, soon, until
from webserver import serving_app
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

WITHIN = 10.0


async def double(number: int) -> int:
    return 2 * number


@asynccontextmanager
async def connecting(
    handler: enkaku.Handler, *, client: dict[str, Any] | None = None, **options: Any
) -> AsyncGenerator[tuple[enkaku.AsgiApp, enkaku.Connection], None]:
    app = enkaku.asgi(handler, **options)
    async with serving_app(app) as port:
        async with enkaku.connect_ws(f"ws://127.0.0.1:{port}/any", **client or {}) as connection:
            async with asyncio.timeout(WITHIN):
                yield app, connection


async def test_websocket_carries_each_kind_of_call() -> None:
    told: list[int] = []

    async def tell(number: int) -> None:
        told.append(number)

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        for item in range(number):
            await stream.send(item)
        return number

    async def talk(param: int, channel: enkaku.ServerChannel[int, int]) -> int:
        async for item in channel:
            await channel.send(item * param)
        return param

    handler = Serving(ask=double, tell=tell, watch=watch, talk=talk)
    async with connecting(handler) as (app, connection):
        assert await connection.request(ASK, 4) == 8
        await connection.event(TELL, 5)
        async with connection.stream(WATCH, 3) as stream:
            assert [item async for item in stream] == [0, 1, 2]
            assert await stream.result() == 3
        async with connection.channel(TALK, 10) as channel:
            await channel.send(1)
            assert await anext(channel) == 10
            assert await channel.close() == 10
        await until(lambda: told == [5])
        assert app.server is not None
        assert app.server.connections[0].peer.startswith("ws:127.0.0.1:")


async def test_websocket_handshake_is_request_of_connection() -> None:
    seen: list[enkaku.HttpRequest | None] = []

    @asynccontextmanager
    async def living(connection: enkaku.ConnectionInfo) -> AsyncGenerator[None, None]:
        seen.append(connection.request)
        yield

    @asynccontextmanager
    async def around(call: enkaku.ServerCall) -> AsyncGenerator[None, None]:
        seen.append(call.connection.request)
        yield

    async def ask(number: int) -> int:
        call = enkaku.current_call()
        seen.append(None if call is None else call.connection.request)
        return number

    client = {"headers": {"Authorization": "Bearer 7"}}
    options: dict[str, Any] = {"lifespan": living, "interceptors": [around]}
    async with connecting(Serving(ask=ask), client=client, **options) as (app, connection):
        assert await connection.request(ASK, 1) == 1
        assert connection.info.request is None
        request = seen[0]
        assert request is not None
        assert seen == [request] * 3
        assert app.server is not None
        assert app.server.connections[0].request is request
        assert request.headers["authorization"] == request.headers["AUTHORIZATION"] == "Bearer 7"
        assert request.path == "/any"
        assert request.client is not None
        assert app.server.connections[0].peer == "ws:{}:{}".format(*request.client)
        assert request.scope["type"] == "websocket"
        assert "Bearer" not in repr(request) + repr(request.headers)


async def test_websocket_many_requests_at_once() -> None:
    async with connecting(Serving(ask=double)) as (_, connection):
        replies = await asyncio.gather(*(connection.request(ASK, n) for n in range(500)))
        assert replies == [2 * n for n in range(500)]


async def test_websocket_slow_reader_slows_its_stream_down_alone() -> None:
    sent = 0

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        nonlocal sent
        for _ in range(number):
            await stream.send("x" * 10_000)
            sent += 1
        return number

    async with connecting(Serving(pour=pour, ask=double)) as (_, connection):
        async with connection.stream(POUR, 500) as stream:
            await anext(stream)
            for _ in range(20):
                assert await connection.request(ASK, 1) == 2
            assert sent < 150
            assert len([item async for item in stream]) == 499


async def test_websocket_client_leaving_cancels_handlers() -> None:
    life = Lifetime()
    async with connecting(Serving(ask=life.forever)) as (app, connection):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        await connection.close()
        with pytest.raises(enkaku.ConnectionLost):
            await asking
        await soon(life.cancelled)
        await until(lambda: app.server is not None and not app.server.connections)


async def test_websocket_stop_answers_every_call_and_closes_with_1001() -> None:
    life = Lifetime()
    async with connecting(Serving(ask=life.forever)) as (app, connection):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        await app.stop(grace=0)
        with pytest.raises(enkaku.CallError) as caught:
            await asking
        assert caught.value.code == "EKP01"
        with pytest.raises(enkaku.ConnectionLost, match="the server ended the connection"):
            await connection.request(VOID, None)


async def test_websocket_server_shutdown_ends_connections() -> None:
    lost = asyncio.Event()

    class Watching(enkaku.Observer):
        def connection_lost(self, connection: enkaku.ConnectionInfo, reason: str) -> None:
            lost.set()

    app = enkaku.asgi(Serving(ask=double))
    async with serving_app(app) as port:
        connecting = enkaku.connect_ws(f"ws://127.0.0.1:{port}", observers=[Watching()])
        connection = await connecting.__aenter__()
        assert await connection.request(ASK, 1) == 2
    try:
        await soon(lost)
    finally:
        await connecting.__aexit__(None, None, None)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), None, True),
        ((), "https://a.example", False),
        (["https://a.example"], "https://a.example", True),
        (["https://a.example"], "https://b.example", False),
        (["https://a.example"], None, True),
        ("*", "https://b.example", True),
        ("*", "null", False),
        ("same", "http://127.0.0.1:PORT", True),
        ("same", "https://a.example", False),
    ],
)
async def test_websocket_origin_decides_about_pages(
    origins: Any, origin: str | None, allowed: bool
) -> None:
    async with serving_app(enkaku.asgi(Serving(ask=double), origins=origins)) as port:
        if origin is not None:
            origin = origin.replace("PORT", str(port))
        connecting = enkaku.connect_ws(f"ws://127.0.0.1:{port}/", origin=origin)
        if allowed:
            async with connecting as connection:
                assert await connection.request(ASK, 1) == 2
        else:
            with pytest.raises(enkaku.ConnectFailed, match="403"):
                async with connecting:
                    pass


@pytest.mark.parametrize(
    ("hosts", "allowed"), [(["127.0.0.1"], True), (["127.0.0.1:1"], False), (["a.example"], False)]
)
async def test_websocket_host_decides_about_clients(hosts: list[str], allowed: bool) -> None:
    async with serving_app(enkaku.asgi(Serving(ask=double), hosts=hosts)) as port:
        connecting = enkaku.connect_ws(f"ws://127.0.0.1:{port}/")
        if allowed:
            async with connecting as connection:
                assert await connection.request(ASK, 1) == 2
        else:
            with pytest.raises(enkaku.ConnectFailed, match="403"):
                async with connecting:
                    pass


async def test_websocket_without_subprotocol_is_rejected() -> None:
    async with serving_app(enkaku.asgi(Serving())) as port:
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("frame", "code"), [(b"binary", 1003), ("x" * 20_000, 1009)], ids=["binary", "large"]
)
async def test_websocket_frame_that_is_no_message_closes_with_code(
    frame: str | bytes, code: int
) -> None:
    limits = enkaku.Limits(message_size=10_000)
    async with serving_app(enkaku.asgi(Serving(), limits=limits)) as port:
        async with connect(f"ws://127.0.0.1:{port}/", subprotocols=["enkaku.v1"]) as socket:  # type: ignore[list-item] # a str of a NewType
            await socket.send(frame)
            with pytest.raises(ConnectionClosed) as caught:
                async with asyncio.timeout(WITHIN):
                    await socket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == code


async def test_websocket_invalid_text_is_answered_as_on_sockets() -> None:
    async with serving_app(enkaku.asgi(Serving(ask=double))) as port:
        async with connect(f"ws://127.0.0.1:{port}/", subprotocols=["enkaku.v1"]) as socket:  # type: ignore[list-item] # a str of a NewType
            await socket.send("nonsense")
            await socket.send(
                '{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"request","rid":"1","prc":"ask","prm":3}}'
            )
            async with asyncio.timeout(WITHIN):
                assert '"val":6' in str(await socket.recv())


async def test_websocket_reply_beyond_client_limit_has_meaning() -> None:
    async def echo(text: str) -> str:
        return text * 100

    client = {"limits": enkaku.Limits(message_size=10_000)}
    async with connecting(Serving(echo=echo), client=client) as (_, connection):
        with pytest.raises(enkaku.ConnectionLost) as caught:
            await connection.request(ECHO, "x" * 1_000)
        assert "1009" in str(caught.value.__cause__)


async def test_websocket_reconnects() -> None:
    app = enkaku.asgi(Serving(ask=double))
    async with serving_app(app) as port:
        url = f"ws://127.0.0.1:{port}/"
        async with enkaku.connect_ws(url, reconnect=enkaku.Reconnect(first=0.01)) as connection:
            assert await connection.request(ASK, 1) == 2
            assert app.server is not None
            app.server.abort()
            async with asyncio.timeout(WITHIN):
                async for state in connection.states():
                    if state == "connecting":
                        break


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "nonsense", "ws://"])
async def test_connect_ws_rejects_url(url: str) -> None:
    with pytest.raises((enkaku.UsageError, enkaku.ConnectFailed)):
        async with enkaku.connect_ws(url):
            pass


async def test_connect_ws_refused_raises_connect_failed() -> None:
    with pytest.raises(enkaku.ConnectFailed, match=r"ws://127\.0\.0\.1:1"):
        async with enkaku.connect_ws("ws://127.0.0.1:1/"):
            pass


async def test_connect_ws_cancelled_leaves_nothing() -> None:
    accepted: list[asyncio.StreamWriter] = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), enkaku.connect_ws(f"ws://127.0.0.1:{port}/"):
                pass
        with pytest.raises(enkaku.ConnectFailed, match=r"within 0\.1 s"):
            async with enkaku.connect_ws(f"ws://127.0.0.1:{port}/", connect_timeout=0.1):
                pass
        for writer in accepted:
            writer.transport.abort()


@pytest.mark.parametrize(
    ("option", "value"),
    [("origins", "http://x"), ("origins", "all"), ("origins", ["https://a/"]), ("hosts", [])],
)
def test_asgi_rejects_origins_and_hosts(option: str, value: Any) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(enkaku.UsageError, match=option):
        enkaku.asgi(Serving(), **options)


PROGRAM = """
import asyncio, sys
import enkaku
sys.path.insert(0, {tests!r})
from support import Serving

async def ask(number):
    await asyncio.sleep(number / 1000)
    return 2 * number

app = enkaku.asgi(Serving(ask=ask))
"""
SERVERS = {
    "uvicorn": ["uvicorn", "program:app", "--log-level", "warning", "--port"],
    "granian": [
        "granian",
        "--interface",
        "asgi",
        "--log-level",
        "warning",
        "program:app",
        "--port",
    ],
}


@pytest.mark.parametrize("name", SERVERS)
async def test_websocket_in_process_of_asgi_server(
    name: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(tests=str(Path(__file__).parents[1])))
    port = str(unused_tcp_port)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *SERVERS[name], port, cwd=tmp_path, start_new_session=True
    )
    try:
        url = f"ws://127.0.0.1:{port}/"
        reconnect = enkaku.Reconnect(longest=0.2)
        async with (
            asyncio.timeout(30),
            enkaku.connect_ws(url, reconnect=reconnect, connect_timeout=20) as connection,
        ):
            replies = await asyncio.gather(*(connection.request(ASK, n) for n in range(100)))
            assert replies == [2 * n for n in range(100)]
            os.killpg(process.pid, signal.SIGKILL)  # granian's worker, too
            with pytest.raises(enkaku.ConnectionLost):
                await connection.request(ASK, 60_000)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("path", ["/rpc/", "/rpc/deeper"])
async def test_websocket_mounted_in_framework_without_lifespan(path: str) -> None:
    app = Starlette(routes=[Mount("/rpc", app=enkaku.asgi(Serving(ask=double)))])
    async with serving_app(app) as port:
        async with enkaku.connect_ws(f"ws://127.0.0.1:{port}{path}") as connection:
            assert await connection.request(ASK, 1) == 2


async def test_websocket_too_many_connections_closes_with_1013() -> None:
    life = Lifetime()
    limits = enkaku.Limits(connections=1)
    async with connecting(Serving(ask=life.forever), limits=limits) as (app, connection):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        assert app.server is not None
        port = connection.peer.rpartition(":")[2].partition("/")[0]
        async with enkaku.connect_ws(f"ws://127.0.0.1:{port}/") as second:
            with pytest.raises(enkaku.ConnectionLost) as caught:
                await second.request(ASK, 1)
            assert "1013" in str(caught.value.__cause__)
        asking.cancel()


class FakeFrames:
    """A WebSocket whose sending waits while ``writable`` is not set."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.tasks: list[object] = []
        self.writable = asyncio.Event()
        self.writable.set()
        self.ended = asyncio.Event()

    async def receive(self, deliver: Callable[[Sequence[bytes]], None], message_size: int) -> None:
        del deliver, message_size
        await self.ended.wait()

    def pause(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""

    def send(self, messages: Sequence[bytes], writer: Writer, /) -> Rest | None:
        sending = self._send(messages)
        return sending if asyncio.current_task() is writer.task else run_first_step(sending, writer)

    async def _send(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            async with asyncio.timeout(WITHIN):  # of the current task, which must not change
                self.tasks.append(asyncio.current_task())
                await self.writable.wait()
                self.tasks.append(asyncio.current_task())
            self.sent.append(message)

    async def close(self, code: int, /) -> None:
        del code
        self.ended.set()

    def abort(self) -> None:
        self.ended.set()


class Silent:
    """A receiver that ignores everything."""

    def messages_received(self, batch: object) -> None:
        """Do nothing."""

    def message_growing(self, size: int) -> None:
        """Do nothing."""

    def connection_lost(self, error: Exception | None) -> None:
        """Do nothing."""


async def host(transport: WebSocketTransport) -> None:
    transport.start(Silent(), message_size=1000)
    await transport.run()


@asynccontextmanager
async def fake_transport() -> AsyncGenerator[tuple[WebSocketTransport, FakeFrames], None]:
    async with hosted_transport() as (transport, frames, _):
        yield transport, frames


@asynccontextmanager
async def hosted_transport() -> (
    AsyncGenerator[tuple[WebSocketTransport, FakeFrames, asyncio.Task[None]], None]
):
    frames = FakeFrames()
    transport = WebSocketTransport(frames, peer="a test", end_code=1000, hosted=True)
    hosting = asyncio.create_task(host(transport))
    await asyncio.sleep(0)  # the writer begins
    yield transport, frames, hosting
    await transport.close(within=WITHIN)
    await asyncio.wait([hosting], timeout=WITHIN)
    assert hosting.done()


async def test_websocket_write_is_sent_without_task_switch() -> None:
    async with fake_transport() as (transport, frames):
        transport.write(b"1")
        assert frames.sent == [b"1"]
        assert frames.tasks[0] is not asyncio.current_task()


async def test_websocket_send_that_waits_goes_on_in_order() -> None:
    async with fake_transport() as (transport, frames):
        frames.writable.clear()
        transport.write(b"1")
        transport.write(b"2" * 100_000)
        transport.write(b"3")
        assert frames.sent == []
        assert not transport.writable
        frames.writable.set()
        async with asyncio.timeout(WITHIN):
            await transport.drain()
        await until(lambda: len(frames.sent) == 3)
        assert [message[:1] for message in frames.sent] == [b"1", b"2", b"3"]
        assert len(set(frames.tasks)) == 1


async def test_websocket_abort_ends_send_that_waits() -> None:
    async with hosted_transport() as (transport, frames, hosting):
        frames.writable.clear()
        transport.write(b"1")
        transport.abort()
        async with asyncio.timeout(WITHIN):
            await hosting
        assert frames.sent == []


async def test_websocket_cancelled_host_ends_transport() -> None:
    async with hosted_transport() as (transport, frames, hosting):
        frames.writable.clear()
        transport.write(b"1")
        hosting.cancel()
        await asyncio.wait([hosting], timeout=WITHIN)
        assert hosting.cancelled()
        assert not transport.writable
        assert frames.sent == []


async def test_websocket_host_goes_on_after_end() -> None:
    async with hosted_transport() as (_, frames, hosting):
        frames.ended.set()
        async with asyncio.timeout(WITHIN):
            await hosting
        assert hosting.cancelling() == 0


async def test_websocket_client_joins_fragments() -> None:
    async def answer_in_fragments(socket: ServerConnection) -> None:
        async for text in socket:
            rid = str(text).partition('"rid":"')[2].partition('"')[0]
            if '"request"' not in str(text):
                continue
            head = '{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"result",'
            await socket.send([head[:20], "", head[20:], f'"rid":"{rid}","val":6}}}}'])

    async with serve(
        answer_in_fragments,
        "127.0.0.1",
        0,
        subprotocols=["enkaku.v1"],  # type: ignore[list-item] # a str of a NewType
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with (
            asyncio.timeout(WITHIN),
            enkaku.connect_ws(f"ws://127.0.0.1:{port}/") as connection,
        ):
            assert await connection.request(ASK, 3) == 6
