"""Recordings of the TypeScript server over HTTP, played to this client: it sends the same requests, and reads the same answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import enkaku
import pytest
from httpserver import HttpServer, Post, facing_http, foreign
from support import WITHIN
from wire.transcript import FOLDER

JsonObject = dict[str, Any]
# Its message is signed.
_NEED_IDENTITY: Final = {"http-auth"}
# What this client does on purpose in another way: leaving a stream, or a request, aborts it. The recorded client closed its
# connection. The number is that of the aborts. Where a feed ends, the recorded client ended with it, and this one goes on.
ABORTS: Final = {"http-disconnect": 1, "http-server-dispose": 2}
_COMPARED: Final = ("content-type", "accept", "enkaku-session-id")
_OF_CONNECTION: Final = {"connection", "date", "keep-alive"}

ECHO: Final = enkaku.Request[JsonObject, JsonObject]("echo", param=JsonObject, result=JsonObject)
LIST: Final = enkaku.Request[None, JsonObject]("notes/list", result=JsonObject)
VOID: Final = enkaku.Request[None, None]("void")
SLOW: Final = enkaku.Request[None, JsonObject]("slow", result=JsonObject)
RESTART: Final = enkaku.Request[JsonObject, JsonObject](
    "system/restart", param=JsonObject, result=JsonObject
)
NOTE: Final = enkaku.Event[JsonObject]("note", data=JsonObject)
TICKER: Final = enkaku.Stream[JsonObject, JsonObject, JsonObject](
    "ticker", param=JsonObject, receive=JsonObject, result=JsonObject
)
COUNTER: Final = enkaku.Stream[JsonObject, JsonObject, JsonObject](
    "counter", param=JsonObject, receive=JsonObject, result=JsonObject
)


class Player:
    """Plays the recorded server: each request has to be the recorded one, but for the id of its call."""

    def __init__(self, name: str, server: HttpServer) -> None:
        text = (FOLDER / "http" / f"{name}.jsonl").read_text("utf-8")
        self.entries: Final = [json.loads(each) for each in text.split("\n") if each]
        self.prm: Final = [
            self.payload(each).get("prm", {}) for each in self.entries if "body" in each
        ]
        self.killed: Final = name == "http-server-killed"
        self._server = server
        self._posts: dict[int, Post] = {}
        self._rids: dict[str, str] = {}  # ours, by the recorded ones

    @staticmethod
    def payload(entry: JsonObject) -> JsonObject:
        payload: JsonObject = json.loads(entry["body"])["payload"]
        return payload

    async def play(self) -> None:
        for entry in self.entries:
            number = entry["id"]
            if entry["kind"] == "request":
                self._posts[number] = await self._server.next()
                self._compare(self._posts[number], entry)
                continue
            post = self._posts[number]
            if entry["kind"] == "response":
                headers = {k: v for k, v in entry["headers"].items() if k not in _OF_CONNECTION}
                if "content-length" in headers:  # our ids of calls are longer
                    more = sum(
                        len(ours) - len(rid) for rid, ours in self._rids.items() if ours == post.rid
                    )
                    headers["content-length"] = str(int(headers["content-length"]) + more)
                post.head(entry["status"], headers)
            elif entry["kind"] == "chunk":
                data = entry["data"]
                for rid, ours in self._rids.items():
                    data = data.replace(f'"rid":"{rid}"', f'"rid":"{ours}"')
                is_feed = data.startswith(("data:", ":"))
                (post.chunk if is_feed else post.raw)(data.encode())
            elif entry["kind"] == "end":
                if "text/event-stream" in post.headers["accept"]:
                    post.end()
                else:
                    post.finish()
            elif self.killed:
                post.reset()

    def _compare(self, post: Post, entry: JsonObject) -> None:
        expected, got = json.loads(entry["body"]), json.loads(post.body)
        assert (post.method, post.target) == (entry["method"], entry["path"])
        for header in _COMPARED:
            assert post.headers.get(header) == entry["headers"].get(header), header
        got["header"].pop("win", None)  # an extension, which the server ignores
        assert got["header"] == expected["header"]
        if "rid" in expected["payload"]:
            ours = self._rids.setdefault(expected["payload"]["rid"], got["payload"]["rid"])
            expected["payload"]["rid"] = ours
        assert got["payload"] == expected["payload"]


User = Callable[[enkaku.Connection, Player], Awaitable[None]]


async def request(connection: enkaku.Connection, player: Player) -> None:
    (prm,) = player.prm
    assert await connection.request(ECHO, prm) == prm == {"a": "😀"}


async def void(connection: enkaku.Connection, _: Player) -> None:
    assert await connection.request(VOID, None) is None


async def event(connection: enkaku.Connection, _: Player) -> None:
    await connection.event(NOTE, {"http": True})
    assert await connection.request(LIST, None) == {"notes": [{"http": True}]}


async def invalid_param(connection: enkaku.Connection, player: Player) -> None:
    with pytest.raises(enkaku.CallError) as rejected:
        await connection.request(RESTART, player.prm[0])
    assert (rejected.value.code, rejected.value.message) == ("EK08", "Invalid protocol message")


async def auth_unsigned(connection: enkaku.Connection, player: Player) -> None:
    with pytest.raises(enkaku.CallError) as rejected:
        await connection.request(ECHO, player.prm[0])
    assert rejected.value.code == "EK02"


async def stream_close(connection: enkaku.Connection, player: Player) -> None:
    async with connection.stream(TICKER, player.prm[0]) as stream:
        assert [await anext(stream), await anext(stream)] == [{"tick": 1}, {"tick": 2}]
        assert await stream.close() == {"ticks": 2}


async def two_streams(connection: enkaku.Connection, player: Player) -> None:
    async with connection.stream(COUNTER, player.prm[0]) as first:
        assert await anext(first) == {"count": 1}
        async with connection.stream(COUNTER, player.prm[1]) as second:
            assert await anext(second) == {"count": 1}
            assert await connection.request(ECHO, {}) == {}
            assert [item async for item in second] == [{"count": 2}]
            assert await second.result() == {"total": 2}
        assert [item async for item in first] == [{"count": 2}, {"count": 3}]
        assert await first.result() == {"total": 3}


async def disconnect(connection: enkaku.Connection, player: Player) -> None:
    async with connection.stream(TICKER, player.prm[0]) as stream:
        ticks = [(await anext(stream))["tick"] for _ in player.entries[3:-1]]
        assert ticks[0] == 1


async def server_dispose(connection: enkaku.Connection, player: Player) -> None:
    async with connection.stream(TICKER, player.prm[0]) as stream:
        assert [(await anext(stream))["tick"] for _ in range(2)] == [1, 2]
        asking = asyncio.create_task(connection.request(SLOW, None))
        assert await anext(stream) == {"tick": 3}
        asking.cancel()


async def feed_ends(connection: enkaku.Connection, player: Player) -> None:
    async with connection.stream(TICKER, player.prm[0]) as stream:
        items = sum(each["kind"] == "chunk" for each in player.entries) - 1
        assert [(await anext(stream))["tick"] for _ in range(items)] == list(range(1, items + 1))
        with pytest.raises(enkaku.ConnectionLost):
            await anext(stream)
    assert connection.is_open


USERS: Final[dict[str, User]] = {
    "http-request": request,
    "http-void": void,
    "http-event": event,
    "http-invalid-param": invalid_param,
    "http-auth-unsigned": auth_unsigned,
    "http-stream-close": stream_close,
    "http-two-streams": two_streams,
    "http-disconnect": disconnect,
    "http-server-dispose": server_dispose,
    "http-server-killed": feed_ends,
    "http-session-timeout": feed_ends,
}


def test_http_recordings_are_played_or_excepted() -> None:
    names = {path.stem for path in (FOLDER / "http").iterdir()}
    assert {*USERS, *_NEED_IDENTITY} == names
    assert ABORTS.keys() < USERS.keys()


@pytest.mark.parametrize("name", USERS)
async def test_http_client_sends_what_was_recorded(name: str) -> None:
    async with facing_http(foreign, timeout=None) as (connection, server):
        player = Player(name, server)
        playing = asyncio.create_task(player.play())
        await USERS[name](connection, player)
        async with asyncio.timeout(WITHIN):
            await playing
        aborts = [(await server.next()).payload["typ"] for _ in range(ABORTS.get(name, 0))]
        assert set(aborts) <= {"abort"}
        assert server.posts.empty()
