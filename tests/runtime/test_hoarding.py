"""Peers that make this side keep much at once, by many calls of which each one keeps little enough."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import enkaku
from support import FILL, POUR, VOID, Lifetime, Serving, collect, facing, raw_client

_CALLS = 40
_ITEM = "x" * 400_000
_LIMITS = enkaku.Limits(message_size=500_000, window=64 * 1024, buffered=1024 * 1024)
_MOST = 4  # calls that may keep an item of that size


def _opening(rid: str, win: int) -> bytes:
    header = {"typ": "JWT", "alg": "none", "win": win}
    payload = {"typ": "channel", "rid": rid, "prc": FILL.name, "prm": 1}
    return json.dumps({"header": header, "payload": payload}).encode() + b"\n"


async def test_a_client_that_counts_credits_cannot_have_more_kept_than_the_limit_for_all_calls(
    socket_path: Path,
) -> None:
    handler = Serving(fill=Lifetime().forever)
    async with (
        enkaku.serve_unix(handler, socket_path, limits=_LIMITS),
        raw_client(socket_path) as peer,
    ):
        for number in range(_CALLS):
            peer.send_bytes(_opening(f"{number}", 1000))
            peer.send(typ="send", rid=f"{number}", prc=FILL.name, val=_ITEM)
        seen = await peer.settle()
        overflowed = [payload for payload in seen if payload.get("code") == "EKP02"]
        assert len(overflowed) >= _CALLS - _MOST


async def test_a_server_that_counts_credits_cannot_have_more_kept_than_the_limit_for_all_calls(
    socket_path: Path,
) -> None:
    async with facing(socket_path, limits=_LIMITS) as (connection, peer), AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(connection.stream(POUR, 1)) for _ in range(_CALLS)
        ]
        for rid in [(await peer.read())["rid"] for _ in streams]:
            peer.send(typ="credit", rid=rid, n=0)
            peer.send(typ="receive", rid=rid, val=_ITEM)
            peer.send(typ="result", rid=rid, val=1)
        asking = asyncio.create_task(connection.request(VOID, None))
        while (payload := await peer.read())["typ"] != "request":
            pass  # what the client does about what it was sent
        peer.send(typ="result", rid=payload["rid"])
        await asking
        ends = await collect(_read_all(stream) for stream in streams)
        overflowed = [end for end in ends if isinstance(end, enkaku.InboxOverflow)]
        assert len(overflowed) >= _CALLS - _MOST


async def _read_all(stream: enkaku.ClientStream[str, int]) -> int:
    return len([item async for item in stream])
