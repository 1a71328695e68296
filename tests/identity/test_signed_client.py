"""What a client with an identity sends: every message verifies, on every transport, also when it is sent again."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import enkaku
import pytest
from enkaku import delegate
from enkaku.client.paired import CalledSession
from enkaku.identity.messages import SignedMessage, verify_message
from enkaku.server.session import Session
from enkaku.transports.base import Oversized
from enkaku.wire.messages import Send
from httpserver import Post, event, facing_http, foreign
from identity.peers import ALICE, BOB, SERVER
from slow import slow_but
from support import (
    ASK,
    ECHO,
    FILL,
    HUM,
    LONG,
    POUR,
    TELL,
    WITHIN,
    Lifetime,
    Raw,
    Serving,
    collect,
    facing,
    over_pipes,
    raw_server,
    soon,
    turns,
)
from webserver import serving_app

OPTIONS: Any = {"identity": ALICE, "audience": SERVER.did}
AGAIN = enkaku.Request[int, int]("ask", param=int, result=int, idempotent=True)
QUICK = enkaku.Reconnect(first=0.001, longest=0.01)
WINDOW = enkaku.Limits(window=20_000, inbox_limit=40_000)
GUARDED: Any = {"identity": SERVER, "access": {"*": {ALICE.did}}}
TRANSPORTS = ["memory", "unix", "pipes", "ws", "http"]


def verify(raw: bytes) -> SignedMessage:
    return verify_message(raw, time.time(), values=50_000)


def verify_all(raws: Sequence[bytes]) -> list[SignedMessage]:
    """Verify messages of one client: all claims are there, and no two have the same id."""
    messages = [verify(raw) for raw in raws]
    for message in messages:
        claims = message.claims
        assert (claims.iss, claims.aud) == (ALICE.did, SERVER.did)
        assert isinstance(claims.iat, int | float)
        assert abs(time.time() - claims.iat) < WITHIN * 3
    ids = [message.claims.jti for message in messages]
    assert len({*ids}) == len(ids)
    assert all(isinstance(each, str) for each in ids)
    return messages


class Received:
    """What the server of a test has received: for calls that it serves, and for those that it makes."""

    def __init__(self) -> None:
        self.served: list[bytes] = []
        self.made: list[bytes] = []


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Received:
    """Record what comes to a server before it is decoded."""
    found = Received()

    def record(session: type, into: list[bytes]) -> None:
        handle = session.messages_received  # type: ignore[attr-defined] # both have it

        def messages_received(self: Any, batch: Sequence[bytes | Oversized]) -> None:
            if not getattr(self, "_serves_server", False):  # as the session of a client does
                for raw in batch:
                    # A session handles many messages in slices, and gets them again.
                    if isinstance(raw, bytes) and not any(raw is each for each in into):
                        into.append(raw)
            handle(self, batch)

        monkeypatch.setattr(session, "messages_received", messages_received)

    record(Session, found.served)
    record(CalledSession, found.made)
    return found


@asynccontextmanager
async def connecting(
    transport: str, handler: enkaku.Handler, path: Path, client: dict[str, Any], **server: Any
) -> AsyncGenerator[enkaku.Connection, None]:
    """Connect a client with an identity."""
    options: Any = {**OPTIONS, **client}
    async with asyncio.timeout(4 * LONG):
        if transport == "memory":
            opening: AbstractAsyncContextManager[enkaku.Connection] = enkaku.connect_memory(
                handler, connection_options=options, **server
            )
            async with opening as connection:
                yield connection
        elif transport == "pipes":
            async with over_pipes(handler, server, options) as connection:
                yield connection
        elif transport == "unix":
            async with enkaku.serve_unix(handler, path, **server):
                async with enkaku.connect(f"unix:{path}", **options) as connection:
                    yield connection
        else:
            async with serving_app(enkaku.asgi(handler, **server)) as port:
                address = f"{transport}://127.0.0.1:{port}/"
                async with enkaku.connect(address, **options) as connection:
                    yield connection


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("server", [{}, GUARDED], ids=["plain", "guarded"])
async def test_every_message_of_client_is_signed(
    server: dict[str, Any], transport: str, socket_path: Path, received: Received
) -> None:
    life, told, items = Lifetime(), asyncio.Event(), list[str]()

    async def ask(number: int) -> int:
        call = enkaku.current_call()
        assert call is not None
        if number == 0:
            return await life.forever()
        return len(await call.connection.client(lambda peer: peer).request(ECHO, "x"))

    async def tell(_: int) -> None:
        told.set()

    async def pour(number: int, stream: enkaku.ServerStream[str]) -> int:
        for _ in range(number):
            await stream.send("x" * 1000)
        await life.forever()
        return 0

    async def fill(number: int, channel: enkaku.ServerChannel[str, str]) -> int:
        async for item in channel:
            items.append(item)
        return number

    async def echo(text: str) -> str:
        return text * 2

    handler = Serving(ask=ask, tell=tell, pour=pour, fill=fill)
    client = {"limits": WINDOW, "handler": Serving(echo=echo)}
    async with connecting(transport, handler, socket_path, client, **server) as connection:
        await connection.event(TELL, 1)
        await soon(told)
        assert await connection.request(ASK, 1) == 2
        waiting = asyncio.create_task(connection.request(ASK, 0))
        await soon(life.began)
        waiting.cancel()
        await soon(life.ended)
        async with connection.stream(POUR, 60) as stream:
            for _ in range(60):
                await anext(stream)
        async with connection.channel(FILL, 5) as channel:
            for number in range(50):
                await channel.send(str(number))
            await channel.end()
            assert await channel.result() == 5
        async with connection.channel(FILL, 6) as channel:
            assert await channel.close() == 6
    messages = verify_all(received.served)
    assert items == [str(number) for number in range(50)]
    values = [each.envelope.payload for each in messages]
    assert [json.loads(bytes(each.val)) for each in values if isinstance(each, Send)] == items
    kinds = {type(each).__name__ for each in values}
    assert kinds >= {"OpenRequest", "OpenStream", "OpenChannel", "Send", "Abort", "Credit", "End"}
    assert "Event" in kinds
    # Replies are not signed: the server trusts the connection that it has made the call on.
    assert any(b'"result"' in raw for raw in received.made)
    assert not any(b'"signature"' in raw for raw in received.made)


@pytest.mark.timeout(200)  # on a busy machine
@pytest.mark.parametrize(
    ("count", "transport"),
    slow_but([2000], [*((2000, each) for each in TRANSPORTS), (100_000, "memory")]),
)
async def test_signed_channel_counts_bytes_of_the_wire(
    transport: str, count: int, socket_path: Path
) -> None:
    seen: list[enkaku.Call] = []

    async def hum(channel: enkaku.ServerChannel[int, int]) -> None:
        call = enkaku.current_call()
        assert call is not None
        seen.append(call)
        number = 0
        async for item in channel:
            assert item == number
            number += 1

    handler, client = Serving(hum=hum), {"limits": WINDOW}
    connecting_it = connecting(transport, handler, socket_path, client, limits=WINDOW)
    async with connecting_it as connection:
        async with connection.channel(HUM, None) as channel:
            for number in range(count):
                await channel.send(number)
            await channel.end()
            await channel.result()
            window = channel.window
            assert window is not None
            call = channel.call
    assert (call.items_sent, seen[0].items_received) == (count, count)
    assert call.bytes_sent == seen[0].bytes_received
    # What the server has granted and not got is at most a window.
    assert 0 < window.free <= 20_000


async def test_event_limit_is_for_the_signed_message() -> None:
    note = enkaku.Event[str]("tell", data=str)
    options: Any = {**OPTIONS, "limits": enkaku.Limits(message_size=2000)}
    async with enkaku.connect_memory(Serving(), connection_options=options) as connection:
        with pytest.raises(enkaku.EncodeError, match=r"at most 2000 bytes, got 2\d{3} bytes"):
            await connection.event(note, "x" * 700)
        await connection.event(note, "x" * 100)


async def test_capabilities_are_in_every_message(socket_path: Path) -> None:
    token = delegate(ALICE, to=BOB.did, act="*", res=SERVER.did, expires_in=60)
    options = {"identity": BOB, "audience": SERVER.did, "capabilities": [token]}
    async with facing(socket_path, **options) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        opening = await read(peer)
        asking.cancel()
        for message in (opening, await read(peer)):
            claims = message.claims
            assert (claims.iss, claims.sub, claims.capabilities) == (BOB.did, ALICE.did, (token,))


async def read(peer: Raw) -> SignedMessage:
    """Return the next message of a client."""
    async with asyncio.timeout(WITHIN):
        return verify((await peer.reader.readline()).rstrip())


def rid_of(message: SignedMessage) -> str:
    rid = message.envelope.payload.rid  # type: ignore[union-attr] # it is no event
    assert isinstance(rid, str)
    return rid


async def test_request_sent_again_has_another_id(socket_path: Path) -> None:
    attempts: list[SignedMessage] = []
    async with raw_server(socket_path) as server:
        async with enkaku.connect_unix(socket_path, reconnect=QUICK, **OPTIONS) as connection:
            asking = asyncio.create_task(connection.request(AGAIN, 1))
            for _ in range(3):
                peer = await server.accept()
                attempts.append(await read(peer))
                peer.writer.transport.abort()
            peer = await server.accept()
            attempts.append(await read(peer))
            peer.send(typ="result", rid=rid_of(attempts[-1]), val=8)
            assert await collect([asking]) == [8]
            assert await peer.outlive(connection) == []
    assert len({each.claims.jti for each in attempts}) == 4
    # A captured message of one connection fits no call of another.
    assert len({rid_of(each) for each in attempts}) == 4
    assert not any(rid_of(each).startswith("s:") for each in attempts)


async def test_unsigned_client_keeps_short_ids(socket_path: Path) -> None:
    async with facing(socket_path) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        assert (await peer.read())["rid"] == "1"
        asking.cancel()


async def test_ping_of_idle_client_is_signed(socket_path: Path) -> None:
    limits = enkaku.Limits(silence=0.05)
    async with facing(socket_path, limits=limits, **OPTIONS) as (connection, peer):
        asking = asyncio.create_task(connection.request(ASK, 1))
        await read(peer)
        peer.send_line({"typ": "JWT", "alg": "none", "ext": ["credit"]}, {"typ": "leaving"})
        ping = (await read(peer)).envelope.payload
        assert getattr(ping, "prc", "") == "enkaku:alive?"
        asking.cancel()


async def test_synchronous_client_signs(socket_path: Path) -> None:
    def call() -> int:
        with enkaku.sync.connect(f"unix:{socket_path}", **OPTIONS) as connection:
            return connection.request(ASK, 1)

    async with raw_server(socket_path) as server:
        asking = asyncio.create_task(asyncio.to_thread(call))
        peer = await server.accept()
        peer.send(typ="result", rid=rid_of(await read(peer)), val=8)
        assert await peer.read_all() == []
        peer.writer.close()
        assert await collect([asking]) == [8]


# Over HTTP, messages wait: for a connection, for the answer to the one before, for the feed.


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record what is signed, when it is signed."""
    signed: list[bytes] = []
    sign: Callable[[enkaku.KeyPair, bytes], bytes] = enkaku.KeyPair.sign

    def recorded(self: enkaku.KeyPair, data: bytes) -> bytes:
        signed.append(data)
        return sign(self, data)

    monkeypatch.setattr(enkaku.KeyPair, "sign", recorded)
    return signed


def messages_of(post: Post) -> list[SignedMessage]:
    return [verify(raw) for raw in post.body.splitlines()]


async def test_http_request_is_signed_when_it_is_posted(signatures: list[bytes]) -> None:
    async with facing_http(max_connections=1, **OPTIONS) as (connection, server):
        asking = [asyncio.create_task(connection.request(ASK, number)) for number in range(3)]
        for number in range(3):
            post = await server.next()
            assert len(signatures) == number + 1
            verify(post.body)
            post.result(number)
        assert await collect(asking) == [0, 1, 2]


async def test_http_items_are_signed_when_they_are_posted(signatures: list[bytes]) -> None:
    async with facing_http(**OPTIONS) as (connection, server):
        async with connection.channel(FILL, 1) as channel:
            opening = await server.next()
            await channel.send("first")
            await turns(20)
            assert len(signatures) == 1
            opening.feed()
            first = await server.next()
            for item in ("a", "b"):
                await channel.send(item)
            await turns(20)
            assert len(signatures) == 2
            first.answer(204)
            batch = await server.next()
            assert len(messages_of(batch)) == 2
            assert len(signatures) == 4
            batch.answer(413, b'{"error":"Request body too large"}')
            again = await server.next()
            again.answer(204)
            last = await server.next()
            last.answer(204)
            posts = (opening, first, batch, again, last)
            found = verify_all([raw for post in posts for raw in post.body.splitlines()])
            assert len(found) == 6
            opening.chunk(event(typ="result", rid=opening.rid, val=3))
            assert await channel.result() == 3


@pytest.mark.usefixtures("no_pause")
async def test_http_opening_sent_again_has_another_id() -> None:
    async with facing_http(**OPTIONS) as (connection, server):
        async with connection.stream(POUR, 1):
            (await server.next()).feed("s1")
            async with connection.stream(POUR, 2):
                opening = await server.next()
                assert "enkaku-session-id" in opening.headers
                opening.answer(400, b'{"error":"Invalid session ID"}')
                again = await server.next()
                one, other = verify(opening.body), verify(again.body)
                assert rid_of(one) == rid_of(other)
                assert one.claims.jti != other.claims.jti
                again.feed("s2")


async def test_http_event_and_abort_are_signed() -> None:
    async with facing_http(foreign, **OPTIONS) as (connection, server):
        telling = asyncio.create_task(connection.event(TELL, 1))
        post = await server.next()
        post.answer(204)
        await telling
        asking = asyncio.create_task(connection.request(ASK, 1))
        request = await server.next()
        asking.cancel()
        abort = await server.next()
        found = verify_all([post.body, request.body, abort.body])
        assert [type(each.envelope.payload).__name__ for each in found] == [
            "Event",
            "OpenRequest",
            "Abort",
        ]


async def test_http_signed_batch_is_small() -> None:
    async with facing_http(**OPTIONS) as (connection, server):
        async with connection.channel(FILL, 1) as channel:
            opening = await server.next()
            opening.feed()
            await channel.send("first")
            first = await server.next()
            for number in range(42):
                await channel.send(f"{number:300}")
            first.answer(204)
            batch = await server.next()
            assert 30 < len(messages_of(batch)) < 42  # to sign a larger one would block the loop
            batch.answer(204)
            (await server.next()).answer(204)
