"""A hostile client of a server with an identity: nothing that it sends reaches a handler, and others are served."""

import asyncio
import gc
import sys
import tracemalloc
from pathlib import Path
from typing import Final

import enkaku
from support import raw_client

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from hostile.identities import CALLER, INNOCENT, SERVER
from hostile.signed import allowed, opening, refused

_MESSAGES: Final = 2_000
_ON_EACH: Final = 200  # a connection ends after 100 messages that prove nothing
_GROWTH_MAX: Final = 256 * 1024  # bytes
_REFUSALS: Final = {
    "error EK02 Access denied",
    "error EK02 Invalid audience",
    "error EK02 Invalid signature",
    "error EK02 Invalid token: data does not match header and payload",
    "error EK02 Message is not signed",
    "error EK02 Token expired",
    "error EK09 Replay detected",
}
ASK: Final = enkaku.Request("any", param=int, result=int)
SINK: Final = enkaku.Channel[None, int, int, None]("sink", send=int, receive=int)


class Target(enkaku.Handler):
    """Remembers what reaches it."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.taken: list[int] = []
        self.closed = False

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return (enkaku.Route.request(ASK, self.ask), enkaku.Route.channel(SINK, self.sink))

    async def ask(self, number: int) -> int:
        self.asked.append(number)
        return number

    async def sink(self, channel: enkaku.ServerChannel[int, int]) -> None:
        async for item in channel:
            self.taken.append(item)
        self.closed = True


async def _send(path: Path, lines: list[bytes], replies: list[str]) -> None:
    """Send lines on a connection on which a channel is open, and read until all openings were answered."""
    async with raw_client(path) as raw:
        raw.send_bytes(opening() + b"".join(lines))
        answered = 0
        while answered < len(lines) - len(lines) // 8:  # items and aborts have no replies
            reply = await raw.read()
            answered += 1
            replies.append(f"{reply['typ']} {reply.get('code')} {reply.get('msg')}")


async def test_hostile_client_reaches_no_handler(socket_path: Path) -> None:
    captured = allowed(0)
    lines = [refused(number) for number in range(_MESSAGES)]
    replies, sizes = list[str](), list[int]()
    access = {"*": {CALLER.did, INNOCENT.did}}
    options = enkaku.ConnectionOptions(identity=INNOCENT, audience=SERVER.did)
    target = Target()
    async with enkaku.serve_unix(target, socket_path, identity=SERVER, access=access):
        await _send(socket_path, [captured], replies)
        assert target.asked == [1]
        assert replies == ["result None None"]
        tracemalloc.start()
        try:
            async with enkaku.connect_unix(socket_path, **options) as connection:
                for at in range(0, _MESSAGES, _ON_EACH):
                    sent = [*lines[at : at + _ON_EACH], captured]
                    attack = asyncio.create_task(_send(socket_path, sent, replies))
                    assert await connection.request(ASK, -at) == -at
                    await attack
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    assert target.asked[1:] == [-at for at in range(0, _MESSAGES, _ON_EACH)]
    assert target.taken == []
    assert not target.closed
    assert set(replies[1:]) == _REFUSALS
    assert sizes[-1] - sizes[1] < _GROWTH_MAX
