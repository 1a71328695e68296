"""Recorded servers with access control of the TypeScript implementation: the client sends what was recorded, and gets the recorded replies.

Where the client decides otherwise, ``OURS`` has the reason.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import enkaku
import pytest
from enkaku.identity.messages import verify_message
from httpserver import facing_http, foreign
from identity.test_recordings import FOLDER, KEYS, messages_of
from support import LONG, Raw, facing

OURS: Final = {"auth-no-audience": "a client with an identity always names the server"}
CLAIMS: Final = {"iss", "aud", "jti", "iat"}
RECORDED: Final = sorted(
    path for path in FOLDER.glob("auth-*.jsonl") if path.stem not in OURS
)  # fmt: skip
ECHO: Final = enkaku.Request("echo", param=object, result=object)


def options_of(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the options of the client that has sent such messages."""
    first = messages[0]["payload"]
    if "iss" not in first:
        return {}
    key = next(key for key in KEYS.values() if key.did == first["iss"])
    return {"identity": key, "audience": first["aud"]}


class Replay:
    """Makes the recorded calls, and plays the server, whose messages are the recorded ones."""

    def __init__(self, connection: enkaku.Connection, peer: Raw) -> None:
        self._connection = connection
        self._peer = peer
        self._rids: dict[str, str] = {}  # ours, by the recorded ones
        self._requests: dict[str, asyncio.Task[Any]] = {}
        self._streams: dict[str, enkaku.ClientStream[Any, Any]] = {}

    async def act(self, payload: dict[str, Any]) -> None:
        """Do what made the recorded client send a message."""
        rid, typ = payload["rid"], payload["typ"]
        names = {"param": object, "receive": object, "result": object}
        if typ == "request":
            call = enkaku.Request[Any, Any](payload["prc"], param=object, result=object)
            if "prm" not in payload:
                call = enkaku.Request[Any, Any](payload["prc"], result=object)
            request = self._connection.request(call, payload.get("prm"))
            self._requests[rid] = asyncio.create_task(request)
        elif typ == "stream":
            stream = enkaku.Stream[Any, Any, Any](payload["prc"], **names)
            self._streams[rid] = self._connection.stream(stream, payload["prm"])
            await self._streams[rid].__aenter__()
        elif typ == "channel":
            channel = enkaku.Channel[Any, Any, Any, Any](payload["prc"], send=object, **names)
            self._streams[rid] = self._connection.channel(channel, payload["prm"])
            await self._streams[rid].__aenter__()
        elif typ == "send":
            channel_of = self._streams[rid]
            assert isinstance(channel_of, enkaku.ClientChannel)
            await channel_of.send(payload["val"])
        elif rid in self._requests:
            self._requests[rid].cancel()
        elif payload["rsn"] == "Close":
            self._requests[rid] = asyncio.create_task(self._streams[rid].close())
        else:
            self._streams[rid].abort(payload["rsn"])

    async def expect(self, recorded: dict[str, Any]) -> None:
        """Read the message, which must be signed as the recorded one is, and say the same."""
        raw = (await self._peer.reader.readline()).rstrip()
        message = json.loads(raw)
        payload = message["payload"]
        theirs = dict(recorded["payload"])
        if "iss" in theirs:
            claims = verify_message(raw, time.time(), values=1000).claims
            assert (claims.iss, claims.aud) == (theirs["iss"], theirs["aud"])
            assert recorded["header"].items() <= message["header"].items()
        else:
            assert "signature" not in message
        rid = self._rids.setdefault(theirs["rid"], payload["rid"])
        if "rsn" in theirs and theirs["rid"] in self._requests and payload["rsn"] == "Cancelled":
            theirs["rsn"] = "Cancelled"  # asyncio gives no other reason
        assert {name: payload[name] for name in payload.keys() - CLAIMS} == {
            name: theirs[name] for name in theirs.keys() - CLAIMS
        } | {"rid": rid}

    async def reply(self, recorded: dict[str, Any]) -> None:
        """Send a reply, and check what the caller gets."""
        payload = recorded["payload"]
        self._peer.send_line(recorded["header"], {**payload, "rid": self._rids[payload["rid"]]})
        stream = self._streams.get(payload["rid"])
        if payload["typ"] == "receive":
            assert stream is not None
            assert await anext(stream) == payload["val"]
            return
        call = self._requests.get(payload["rid"])
        if call is None:
            assert stream is not None
            call = asyncio.create_task(stream.result())
        if payload["typ"] == "result":
            assert await call == payload["val"]
            return
        with pytest.raises(enkaku.CallError) as raised:
            await call
        assert (raised.value.code, raised.value.message) == (payload["code"], payload["msg"])

    async def end(self) -> None:
        """Leave all calls."""
        for stream in self._streams.values():
            await stream.__aexit__(None, None, None)
        await asyncio.gather(*self._requests.values(), return_exceptions=True)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_client_sends_what_was_recorded(path: Path, socket_path: Path) -> None:
    recorded = [(side, json.loads(text)) for side, text in messages_of(path)]
    options = options_of([message for side, message in recorded if side == "c2s"])
    async with asyncio.timeout(LONG), facing(socket_path, **options) as (connection, peer):
        replay = Replay(connection, peer)
        for side, message in recorded:
            if side == "c2s":
                await replay.act(message["payload"])
                await replay.expect(message)
            else:
                await replay.reply(message)
        await replay.end()


@pytest.mark.parametrize("name", ["http-auth", "http-auth-unsigned"])
async def test_client_posts_what_was_recorded(name: str) -> None:
    sent, reply = (json.loads(text) for _, text in messages_of(FOLDER / f"{name}.jsonl"))
    options = options_of([sent])
    async with facing_http(foreign, **options) as (connection, server):
        asking = asyncio.create_task(connection.request(ECHO, sent["payload"]["prm"]))
        post = await server.next()
        assert ("signature" in json.loads(post.body)) is bool(options)
        if options:
            verify_message(post.body, time.time(), values=1000)
        reply["payload"]["rid"] = post.rid
        post.answer(200, json.dumps(reply).encode())
        if reply["payload"]["typ"] == "result":
            assert await asking == reply["payload"]["val"]
        else:
            with pytest.raises(enkaku.CallError, match=reply["payload"]["msg"]):
                await asking
