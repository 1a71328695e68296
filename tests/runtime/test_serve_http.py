"""An HTTP server of its own: uvicorn's protocols, with the end of a server over sockets."""

import asyncio
import gc
import logging
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import enkaku
import h11
import pytest
import trustme
from enkaku.transports.http import uvicorn_server
from rawhttp import message, site
from support import ASK, ECHO, TALK, TELL, WATCH, Lifetime, Serving, soon, turns, until
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

WITHIN = 10.0
SCHEMES = ("ws", "http")
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-protocol: enkaku.v1\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def echo(text: str) -> str:
    return text


async def double(number: int) -> int:
    return 2 * number


@asynccontextmanager
async def connecting(
    handler: enkaku.Handler, scheme: str = "ws", **options: Any
) -> AsyncGenerator[tuple[enkaku.Server, enkaku.Connection], None]:
    async with asyncio.timeout(WITHIN), enkaku.serve_http(handler, **options) as server:
        async with client(scheme, server.port) as connection:
            yield server, connection


def client(scheme: str, port: int) -> AbstractAsyncContextManager[enkaku.Connection]:
    connect = enkaku.connect_ws if scheme == "ws" else enkaku.connect_http
    return connect(f"{scheme}://127.0.0.1:{port}/any")


@asynccontextmanager
async def raw(port: int) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter], None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(WITHIN):
            yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Read the head and the body of a response."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    return head + await reader.readexactly(size)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_serve_http_carries_each_kind_of_call(scheme: str) -> None:
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
    async with connecting(handler, scheme) as (_, connection):
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


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_serve_http_connection_keeps_little(scheme: str) -> None:
    life, kinds = Lifetime(), (uvicorn_server._Http, uvicorn_server._WebSocket)

    async def watch(_: int, stream: enkaku.ServerStream[int]) -> int:
        await stream.send(0)
        await life.forever()
        return 0

    async with connecting(Serving(ask=double, watch=watch), scheme) as (_, connection):
        async with connection.stream(WATCH, 1):
            gc.collect()
            protocols = [each for each in gc.get_objects() if isinstance(each, kinds)]
            assert await connection.request(ASK, 2) == 4
    assert protocols
    for each in protocols:
        assert len(vars(each)) <= 30  # more make a dictionary that shares no names with others
        # An older uvicorn has no such point after the handshake, and keeps what belongs to it.
        drops = hasattr(WebSocketsSansIOProtocol, "start_keepalive")
        if isinstance(each, uvicorn_server._WebSocket) and drops:
            assert not hasattr(each, "request")
            assert not hasattr(each, "response")


async def test_serve_http_serves_at_known_address() -> None:
    async with connecting(Serving(ask=double)) as (server, connection):
        assert server.addresses == (f"http://127.0.0.1:{server.port}",)
        assert await connection.request(ASK, 4) == 8
        (info,) = server.connections
        assert info.request is not None
        assert info.request.path == "/any"


async def test_serve_http_over_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6: {error}")
    async with enkaku.serve_http(
        Serving(ask=double), "::1", hosts=["[::1]"], origins="same"
    ) as server:
        assert server.addresses == (f"http://[::1]:{server.port}",)
        url = f"ws://[::1]:{server.port}/"
        async with enkaku.connect_ws(url, origin=f"http://[::1]:{server.port}") as connection:
            assert await connection.request(ASK, 1) == 2


@pytest.mark.parametrize("given", ["context", "files"])
async def test_serve_http_with_tls(given: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    if given == "context":
        own: Any = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issued.configure_cert(own)
    else:
        issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        own = (tmp_path / "cert.pem", str(tmp_path / "key.pem"))
    async with enkaku.serve_http(Serving(ask=double), ssl=own, origins="same") as server:
        assert server.addresses == (f"https://127.0.0.1:{server.port}",)
        url, page = f"wss://localhost:{server.port}/", f"https://localhost:{server.port}"
        async with enkaku.connect_ws(url, ssl=trusting, origin=page) as connection:
            assert await connection.request(ASK, 1) == 2
        with pytest.raises(enkaku.ConnectFailed, match="403"):
            async with enkaku.connect_ws(url, ssl=trusting, origin=page.replace("https", "http")):
                pass
        with pytest.raises(enkaku.ConnectFailed, match="CERTIFICATE_VERIFY_FAILED"):
            async with enkaku.connect_ws(url):  # verifies the server, as browsers do
                pass
        async with raw(server.port) as (reader, writer):
            writer.write(GET)  # without TLS
            assert await reader.read() == b""


async def test_serve_http_end_leaves_no_unfinished_tls_handshake() -> None:
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(own)
    async with asyncio.timeout(WITHIN), AsyncExitStack() as stack:
        async with enkaku.serve_http(Serving(), ssl=own) as server:
            reader, _ = await stack.enter_async_context(raw(server.port))
            other, writer = await stack.enter_async_context(raw(server.port))
            writer.write(b"\x16\x03\x01")
            # A later handshake is done: the two others were accepted.
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(
                    "localhost", server.port, ssl=ssl.create_default_context()
                )
        assert await reader.read() == b""
        assert await other.read() == b""


@pytest.mark.parametrize("given", [("no.pem", "no.key"), ("a", "b", "c"), "cert.pem", (1, 2)])
async def test_serve_http_rejects_certificate(given: Any) -> None:
    with pytest.raises(enkaku.UsageError, match="ssl"):
        async with enkaku.serve_http(Serving(), ssl=given):
            pass


async def test_serve_http_rejects_options() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"origins": ["https://a/"]}, "origins"),
        ({"hosts": []}, "hosts"),
        ({"keepalive": 5}, "keepalive"),
        ({"port": -1}, "port"),
    ]
    for options, hint in wrong:
        with pytest.raises(enkaku.UsageError, match=hint):
            async with enkaku.serve_http(Serving(), **options):
                pass


async def test_serve_http_at_port_in_use_raises() -> None:
    async with enkaku.serve_http(Serving(ask=double)) as server:
        with pytest.raises(enkaku.AddressInUse, match=f"http://127.0.0.1:{server.port}"):
            async with enkaku.serve_http(Serving(), port=server.port):
                pass


def test_serve_http_without_uvicorn_names_extra() -> None:
    program = (
        "import asyncio, sys; sys.modules['httptools'] = None\n"
        "import enkaku\n"
        "async def main():\n"
        "    async with enkaku.serve_http(None): pass\n"
        "try: asyncio.run(main())\n"
        "except enkaku.MissingExtra as error: print(error)\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WITHIN, check=True
    )
    assert printed.stdout == "serve_http needs uvicorn: pip install 'enkaku[serve]'\n"


async def test_serve_http_origin_and_host_decide() -> None:
    options: dict[str, Any] = {"origins": ["https://a.example"], "hosts": ["127.0.0.1"]}
    async with enkaku.serve_http(Serving(ask=double), **options) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        async with enkaku.connect_ws(url, origin="https://a.example") as connection:
            assert await connection.request(ASK, 1) == 2
        for wrong, origin in (
            (url, "https://b.example"),
            (url.replace("127.0.0.1", "localhost"), None),
        ):
            with pytest.raises(enkaku.ConnectFailed, match="403"):
                async with enkaku.connect_ws(wrong, origin=origin):
                    pass


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_serve_http_stop_answers_calls_then_ends(scheme: str) -> None:
    life = Lifetime()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        await stream.send(1)
        async with stream.until_closed():
            await asyncio.Event().wait()
        return number

    handler = Serving(ask=life.forever, watch=watch)
    async with connecting(handler, scheme) as (server, connection):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        async with connection.stream(WATCH, 7) as stream:
            assert await anext(stream) == 1
            await server.stop(grace=0.1)
            assert await stream.result() == 7
        with pytest.raises(enkaku.CallError) as caught:
            await asking
        assert caught.value.code == "EKP01"
        # Over HTTP, a connection that is still open carries the answer 503.
        ended = enkaku.ConnectionLost if scheme == "ws" else enkaku.CallError
        with pytest.raises(ended):
            await connection.request(ASK, 1)
        with pytest.raises(enkaku.ConnectFailed):
            async with client(scheme, server.port):
                pass


async def test_serve_http_over_http() -> None:
    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        await stream.send(number)
        return number

    async with enkaku.serve_http(Serving(ask=double, watch=watch)) as server:
        async with site(server.port) as made:
            reply = await made.post(message(typ="request", rid="1", prc="ask", prm=4))
            assert reply.payload["val"] == 8
            assert reply.headers["date"]
            feed = await made.feed(message(typ="stream", rid="2", prc="watch", prm=5))
            assert (await feed.message())["val"] == 5
            assert (await feed.message())["typ"] == "result"
            (info,) = server.connections
            assert info.request is not None
            assert info.request.headers["accept"] == "text/event-stream"
            await feed.close()
            await until(lambda: not server.connections)


async def test_serve_http_client_leaving_cancels_handlers() -> None:
    life = Lifetime()
    async with enkaku.serve_http(Serving(ask=life.forever)) as server:
        async with site(server.port) as made:
            asking = await made.connect()
            asking.start(message(typ="request", rid="1", prc="ask", prm=1))
            await soon(life.began)
            await asking.close()
            await soon(life.cancelled)


async def test_serve_http_stop_answers_posts_and_feeds() -> None:
    life, watching = Lifetime(), asyncio.Event()

    async def talk(number: int, channel: enkaku.ServerChannel[int, int]) -> int:
        watching.set()
        return sum([item async for item in channel])

    options: dict[str, Any] = {"limits": enkaku.Limits(cleanup=30), "close_timeout": 30}
    async with AsyncExitStack() as stack:
        async with enkaku.serve_http(Serving(ask=life.forever, talk=talk), **options) as server:
            made = await stack.enter_async_context(site(server.port))
            slow = await made.connect()
            slow.start(message(typ="request", rid="1", prc="ask", prm=1))
            idle = await made.connect()
            idle.start(b"", "GET")
            assert (await idle.response()).status == 405
            feed = await made.feed(message(typ="channel", rid="2", prc="talk", prm=1))
            await soon(life.began, watching)
            stopping = asyncio.create_task(server.stop(grace=0.2))
            await until(lambda: server.stopping)
            # Open calls may need new connections: the server still accepts some.
            ping = message(typ="send", rid="2", prc="talk", val=1)
            assert (await made.post(ping)).status == 204
            refused = await made.post(message(typ="request", rid="3", prc="ask", prm=1))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            with pytest.raises(enkaku.ConnectFailed, match="503"):
                async with enkaku.connect_ws(f"ws://127.0.0.1:{server.port}/"):
                    pass
            assert (await slow.response()).payload["code"] == "EKP01"
            assert (await feed.message())["typ"] == "result"
            assert isinstance(await feed.exchange.event(), h11.EndOfMessage)
            await stopping
            with pytest.raises(OSError, match="Connect call failed"):
                await made.connect()
        for exchange in (slow, idle, feed.exchange):
            assert await soon_read(exchange.reader) == b""


async def soon_read(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WITHIN):
        return await reader.read()


@pytest.mark.parametrize("state", ["body", "unread"])
async def test_serve_http_end_is_bounded_by_http_client(state: str) -> None:
    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        while True:
            await stream.send("x" * 100_000)

    limits = enkaku.Limits(cleanup=0.2)
    async with asyncio.timeout(WITHIN), AsyncExitStack() as stack:
        async with enkaku.serve_http(Serving(pour=pour), limits=limits) as server:
            reader, writer = await stack.enter_async_context(raw(server.port))
            if state == "body":
                begun = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
                writer.write(GET + begun)
                await answer(reader)
            else:
                reader._limit = 1  # it stops reading
                body = message(typ="stream", rid="1", prc="pour", prm=1)
                head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
                writer.write(head + body)
                await until(lambda: len(server.connections) == 1)
            await server.stop(grace=0)
        with suppress(ConnectionResetError):
            while await reader.read(100_000):
                pass


@pytest.mark.parametrize("size", [1, 7, 200, 100_000])
async def test_serve_http_bodies_and_pipelines_are_no_heads(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "_HEAD_SIZE", 500)
    async with enkaku.serve_http(Serving(echo=echo)) as server:
        async with raw(server.port) as (reader, writer):
            body = message(typ="request", rid="1", prc="echo", prm="x" * 1_000)
            post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            sent = 3 * post
            for start in range(0, len(sent), size):
                writer.write(sent[start : start + size])
                if size == 1:
                    await asyncio.sleep(0)
            for _ in range(3):
                assert (await answer(reader)).startswith(b"HTTP/1.1 200 OK")


async def test_serve_http_leaving_block_closes_with_1001() -> None:
    async with asyncio.timeout(WITHIN):
        async with enkaku.serve_http(Serving(ask=double)) as server:
            url = f"ws://127.0.0.1:{server.port}/"
            opened = await connect(url, subprotocols=["enkaku.v1"])  # type: ignore[list-item] # a str of a NewType
            await until(lambda: len(server.connections) == 1)
        with pytest.raises(ConnectionClosed) as caught:
            await opened.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001


async def test_serve_http_end_waits_for_no_idle_connection() -> None:
    async with asyncio.timeout(2.0):  # less than any time limit
        async with enkaku.serve_http(Serving(ask=double)) as server:
            used, unused = socket.socket(), socket.socket()
            for each in (used, unused):
                each.setblocking(False)
                await asyncio.get_running_loop().sock_connect(each, ("127.0.0.1", server.port))
            await asyncio.get_running_loop().sock_sendall(used, GET)
            assert await asyncio.get_running_loop().sock_recv(used, 10_000)
        for each in (used, unused):
            with suppress(ConnectionResetError):
                while await asyncio.get_running_loop().sock_recv(each, 10_000):
                    pass
            each.close()


async def test_serve_http_end_is_bounded_by_silent_websocket() -> None:
    limits = enkaku.Limits(cleanup=0.2)
    async with asyncio.timeout(WITHIN):
        async with AsyncExitStack() as stack:
            async with enkaku.serve_http(Serving(ask=double), limits=limits) as server:
                reader, writer = await stack.enter_async_context(raw(server.port))
                writer.write(HANDSHAKE)
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
                await until(lambda: len(server.connections) == 1)
            # The server has sent a close frame with code 1001, which this client never answers.
            with suppress(ConnectionResetError):
                assert (await reader.read()).startswith(b"\x88\x02\x03\xe9")


async def test_serve_http_abort_waits_for_no_client() -> None:
    limits = enkaku.Limits(cleanup=1_000)
    async with asyncio.timeout(WITHIN), AsyncExitStack() as stack:
        async with enkaku.serve_http(Serving(ask=double), limits=limits) as server:
            reader, writer = await stack.enter_async_context(raw(server.port))
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            await until(lambda: len(server.connections) == 1)
            server.abort()
        with suppress(ConnectionResetError):
            await reader.read()


async def test_serve_http_failing_block_cancels_handlers() -> None:
    life = Lifetime()
    with pytest.raises(ZeroDivisionError):
        async with connecting(Serving(ask=life.forever)) as (_, connection):
            asking = asyncio.create_task(connection.request(ASK, 1))
            await soon(life.began)
            raise ZeroDivisionError
    await soon(life.cancelled)
    with pytest.raises((enkaku.ConnectionLost, enkaku.CallError)):
        await asking


async def test_serve_http_abort_cancels_handlers() -> None:
    life = Lifetime()
    async with connecting(Serving(ask=life.forever)) as (server, connection):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await soon(life.began)
        server.abort()
        await soon(life.cancelled)
        with pytest.raises(enkaku.ConnectionLost):
            await asking


async def test_serve_http_keeps_connection_for_next_request() -> None:
    async with enkaku.serve_http(Serving()) as server:
        async with raw(server.port) as (reader, writer):
            for _ in range(2):
                writer.write(GET)
                head = (await answer(reader)).lower()
                assert b"\r\ndate: " in head
                assert b"\r\nserver: " not in head
                assert b"\r\nconnection: close" not in head
    assert uvicorn_server._IDLE > 60


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
        b"GET / HTTP/1.1\r\na: " + b"b" * 100_000,
        b"GET /" + b"a" * 100_000,
    ],
    ids=["headers", "header", "path"],
)
@pytest.mark.parametrize("first", [True, False])
async def test_serve_http_large_head_is_rejected(head: bytes, first: bool) -> None:
    async with enkaku.serve_http(Serving()) as server:
        async with raw(server.port) as (reader, writer):
            if not first:
                writer.write(GET)
                await answer(reader)
            for start in range(0, len(head), 10_000):
                writer.write(head[start : start + 10_000])
            rest = b""
            with suppress(ConnectionResetError):
                while chunk := await reader.read(1_000):
                    rest += chunk
            assert rest == b"" or rest.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost", b"\r\n", GET + b"GET"])
async def test_serve_http_slow_head_ends_connection(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uvicorn_server, "_HEAD_TIME", 0.1)
    async with enkaku.serve_http(Serving()) as server:
        async with raw(server.port) as (reader, writer):
            writer.write(sent)
            with suppress(ConnectionResetError):
                while await reader.read(10_000):
                    pass


async def test_serve_http_head_time_spares_connections_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn_server, "_HEAD_TIME", 0.05)
    async with connecting(Serving(ask=double)) as (server, connection):
        async with raw(server.port) as (reader, writer):
            for _ in range(2):
                writer.write(GET)
                await answer(reader)
                passed = asyncio.Event()
                asyncio.get_running_loop().call_later(0.15, passed.set)
                await passed.wait()
        assert await connection.request(ASK, 1) == 2


async def test_serve_http_too_many_connections_are_closed() -> None:
    limits = enkaku.Limits(connections=1)
    async with enkaku.serve_http(Serving(), limits=limits) as server:
        async with raw(server.port) as first, raw(server.port) as second:
            for reader, writer in (first, second):
                writer.write(GET)
                await answer(reader)
            async with raw(server.port) as (reader, _):
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""


@pytest.mark.parametrize(
    "bad",
    [
        b"\x16\x03\x01 nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        HANDSHAKE.replace(b"host: x", b"a: " + b"b" * 9_000),
    ],
)
async def test_serve_http_bad_requests_are_not_logged(
    bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connecting(Serving(ask=double)) as (server, connection):
        async with raw(server.port) as (reader, writer):
            writer.write(bad)
            with suppress(ConnectionResetError):
                await reader.read()
        assert await connection.request(ASK, 1) == 2
    assert [record.name for record in caplog.records if "uvicorn" in record.name] == []
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_serve_http_leaves_logging_of_uvicorn_alone() -> None:
    loggers = [logging.getLogger(f"uvicorn{part}") for part in ("", ".access", ".error", ".asgi")]
    before = [(each.level, each.propagate, list(each.handlers)) for each in loggers]
    async with connecting(Serving(ask=double)) as (_, connection):
        assert await connection.request(ASK, 1) == 2
    assert [(each.level, each.propagate, list(each.handlers)) for each in loggers] == before


async def test_serve_http_large_frame_closes_with_1009() -> None:
    limits = enkaku.Limits(message_size=10_000)
    async with connecting(Serving(echo=double), limits=limits) as (_, connection):
        with pytest.raises(enkaku.ConnectionLost) as caught:
            await connection.request(ECHO, "x" * 20_000)
        assert "1009" in str(caught.value.__cause__)


PROGRAM = """
import asyncio, sys
import enkaku
sys.path.insert(0, {tests!r})
from support import Serving

async def ask(number):
    await asyncio.sleep(number / 1000)
    return 2 * number

async def main():
    async with enkaku.serve_http(Serving(ask=ask)) as server:
        print(server.port, flush=True)
        await server.serve_forever()
    print(len(asyncio.all_tasks()), flush=True)

enkaku.run(main())
"""


async def test_serve_http_sigterm_answers_every_call(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.format(tests=str(Path(__file__).parents[1])))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "program.py", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            assert process.stdout is not None
            port = int(await process.stdout.readline())
            async with (
                client("ws", port) as connection,
                client("http", port) as other,
                site(port) as made,
            ):
                posts = [await made.connect() for _ in range(50)]
                for post in posts:
                    post.start(message(typ="request", rid="1", prc="ask", prm=500))
                both = (connection, other)
                asking = [
                    asyncio.create_task(each.request(ASK, 500)) for _ in range(50) for each in both
                ]
                assert [await each.request(ASK, 0) for each in both] == [0, 0]
                process.send_signal(signal.SIGTERM)
                assert await asyncio.gather(*asking) == [1_000] * 100
                for post in posts:
                    assert (await post.response()).payload["val"] == 1_000
                assert await process.stdout.read() == b"1\n"
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_serve_http_refused_body_does_not_hold_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn_server, "_HEAD_TIME", 0.3)
    limits = enkaku.Limits(message_size=1000)
    async with enkaku.serve_http(Serving(), limits=limits) as server:
        async with raw(server.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n{")
            assert b" 413 " in await answer(reader)
            ended = asyncio.create_task(reader.read())
            while not ended.done():  # a byte now and then restarts every other timeout
                writer.write(b" ")
                await asyncio.wait({ended}, timeout=0.01)
            with suppress(ConnectionResetError):
                assert ended.result() == b""


async def test_serve_http_reads_rest_of_refused_body() -> None:
    limits = enkaku.Limits(message_size=1000)
    async with enkaku.serve_http(Serving(), limits=limits) as server:
        async with raw(server.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n{")
            assert b" 413 " in await answer(reader)
            writer.write(b" " * 1999 + GET)
            assert b" 405 " in await answer(reader)


async def test_serve_http_unread_feed_is_no_failure_in_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        while True:
            await stream.send("x" * 100_000)

    limits = enkaku.Limits(unread_time=0.2)
    async with enkaku.serve_http(Serving(pour=pour), limits=limits) as server:
        async with raw(server.port) as (reader, writer):
            reader._limit = 1  # it stops reading
            body = message(typ="stream", rid="1", prc="pour", prm=1)
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            writer.write(head + body)
            await until(lambda: len(server.connections) == 1)
            await until(lambda: len(server.connections) == 0)
            await turns()
    assert [record.getMessage() for record in caplog.records if record.levelno >= 40] == []


@pytest.mark.parametrize(
    "more", [b"", GET, b"\0 garbage\r\n\r\n"], ids=["alone", "pipelined", "garbage"]
)
@pytest.mark.parametrize("unread", [False, True])
async def test_serve_http_client_leaving_ends_feed(
    more: bytes, unread: bool, caplog: pytest.LogCaptureFixture
) -> None:
    life = Lifetime()

    async def watch(number: int, stream: enkaku.ServerStream[int]) -> int:
        with life:
            while True:
                await stream.send(number)
                await asyncio.sleep(0)
        raise AssertionError

    async with enkaku.serve_http(Serving(watch=watch)) as server:
        async with raw(server.port) as (reader, writer):
            if unread:
                reader._limit = 1  # it stops reading
            body = message(typ="stream", rid="1", prc="watch", prm=1)
            head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            writer.write(head + body)
            await soon(life.began)
            if unread:  # until the response waits for the client
                (session,) = server._sessions
                await until(lambda: session._transport.buffered > 20_000)
            writer.write(more)
            if more == GET:  # nothing is read after it, until the first response is complete
                writer.transport.abort()
            else:
                writer.write_eof()
            await soon(life.cancelled)
            await until(lambda: not server.connections)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
