"""Server replay: sends the messages of each recording, and compares the server's replies with the recorded ones."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
from enkaku import Handler, Limits, Server
from wire.differences import KILLED, SENT, SERVER_DIFFERENCES, STOPPED, Mark, opened, result
from wire.ends import RawEnd, open_to_server, serve
from wire.transcript import Line, Recording, canonical, load_recordings

Step = tuple[Line, ...] | Line | Mark

# What runs by the clock. How many items come before the end that the client sends is a matter of time: there may be
# more than were recorded, and the result counts those that came.
TIMED: Final = {"metrics/stream": "totalSamples", "logs/watch": "totalLogs", "ticker": "ticks"}
# Figures that differ from run to run: any number stands for them.
FIGURES: Final = {
    "metrics/stream": frozenset({"cpu", "memory", "timestamp"}),
    "logs/watch": frozenset({"timestamp"}),
}
# The recordings with a limit of 2,000 bytes a message.
SMALL: Final = ("message-too-large", "framing-max-buffer")
# How the server of a recording ended, where it did.
ENDS: Final = {"server-dispose": STOPPED, "server-killed": KILLED}
# Calls that the recorded server had served before, and remembered.
BEFORE: Final = {"stream-abort": "metrics"}


async def test_server_replay_sends_recorded_replies(
    recording: Recording, handler: Handler, link: str, socket_path: Path
) -> None:
    limits = Limits(message_size=2000) if recording.name in SMALL else None
    names = [name for name in (BEFORE.get(recording.name), recording.name) if name is not None]
    async with asyncio.timeout(10), serve(handler, link, socket_path, limits) as server:
        for name in names:
            async with open_to_server(server, link, socket_path) as end:
                await Replay(server, end).run(load_recordings()[name])


@pytest.mark.parametrize("name", SERVER_DIFFERENCES)
def test_server_replay_listed_difference_is_real(name: str) -> None:
    recorded = list(_recorded_steps(load_recordings()[name]))
    ours = list(_steps(load_recordings()[name]))
    assert [_text(step) for step in ours] != [_text(step) for step in recorded]


class Replay:
    """Sends a recording's lines to Enkaku's server, and compares the replies.

    The order of the lines of one call is compared; that of lines of different calls is free.
    """

    def __init__(self, server: Server, end: RawEnd) -> None:
        self._server = server
        self._end = end
        self._unread: defaultdict[str, deque[str]] = defaultdict(deque)
        self._procedures: dict[str, str] = {}
        self._items: Counter[str] = Counter()
        self._last_item: dict[str, Line] = {}
        self._aborted: set[str] = set()
        self._silent_after: dict[str, frozenset[str]] = {}
        self._silent: set[str] = set()

    async def run(self, recording: Recording) -> None:
        *steps, last = _steps(recording)
        ending = ENDS.get(recording.name)
        stopping: asyncio.Task[None] | None = None
        for step in (*steps, last):
            match step:
                case tuple():
                    self._send(step)
                case Line():
                    await self._expect(step)
                case _ if step is STOPPED:
                    stopping = asyncio.create_task(self._server.stop())
                case _:
                    self._server.abort()
        if ending is None and not (isinstance(last, tuple) and last[-1].unterminated):
            await self._fence()
        if ending is None:
            await self._end.end()
        await self._read_rest()
        if stopping is not None:
            await self._end.end()
            await stopping

    def _send(self, packet: tuple[Line, ...]) -> None:
        for line in packet:
            payload = line.payload
            rid, rsn = payload.get("rid"), payload.get("rsn", "")
            match payload.get("typ"):
                case "request" | "stream" | "channel" if isinstance(rid, str):
                    self._procedures.setdefault(rid, payload["prc"])
                    self._silent_after[rid] = frozenset(self._aborted)
                case "abort" if isinstance(rsn, str) and len(rsn) <= 1024 and rsn != "Close":
                    self._aborted.add(payload["rid"])
        self._end.write(*packet)

    async def _expect(self, line: Line) -> None:
        rid = line.payload["rid"]
        text = await self._next_of(rid)
        typ = line.payload["typ"]
        if typ == "receive":
            self._items[rid] += 1
            self._last_item[rid] = line
        elif self._procedures.get(rid) in TIMED:
            while _typ(text) == "receive":
                self._take_further(rid, text)
                text = await self._next_of(rid)
            line = self._with_count(line)
        assert self._canonical(rid, text) == self._canonical(rid, line.text)

    def _with_count(self, line: Line) -> Line:
        """Adjust the expected result of a timed stream to the number of received items."""
        payload = line.payload
        member = TIMED[self._procedures[payload["rid"]]]
        if payload["typ"] != "result":
            return line
        return result(payload["rid"], {**payload["val"], member: self._items[payload["rid"]]})

    def _take_further(self, rid: str, text: str) -> None:
        """Accept one item more than was recorded, from a timed stream."""
        self._items[rid] += 1
        line = self._last_item[rid]
        if "tick" in line.payload["val"]:
            line = Line("s2c", line.text.replace(*_ticks(line, self._items[rid])))
        assert self._canonical(rid, text) == self._canonical(rid, line.text)

    async def _next_of(self, rid: str) -> str:
        while not self._unread[rid]:
            text = await self._end.read_line()
            assert text is not None, f"the server ended without a line for {rid!r}"
            self._sort(text)
        return self._unread[rid].popleft()

    def _sort(self, text: str) -> None:
        rid = Line("s2c", text).payload["rid"]
        assert rid not in self._silent, f"a line for an aborted call: {text}"
        self._silent |= self._silent_after.get(rid, frozenset())
        self._unread[rid].append(text)

    async def _fence(self) -> None:
        """Send one more request, whose reply arrives after all replies to earlier lines."""
        request = opened("request", "fence", "echo", {"fence": True})
        self._send((request,))
        await self._expect(result("fence", {"fence": True}))

    async def _read_rest(self) -> None:
        for text in await self._end.read_rest():
            self._sort(text)
        for rid, texts in self._unread.items():
            for text in texts:
                assert self._procedures.get(rid) in TIMED, f"a line more than recorded: {text}"
                assert rid in self._last_item, f"a line more than recorded: {text}"
                self._take_further(rid, text)

    def _canonical(self, rid: str, text: str) -> str:
        figures = FIGURES.get(self._procedures.get(rid, ""), frozenset())
        return canonical(text, figures=figures)


def _steps(recording: Recording) -> Iterator[Step]:
    """Return the packets to send, and the expected replies between them."""
    difference = SERVER_DIFFERENCES.get(recording.name)
    if difference is None:
        yield from _recorded_steps(recording)
        return
    packets = _packets(recording)
    for step in difference.steps:
        yield next(packets) if step is SENT else step
    assert next(packets, None) is None, "not everything that was recorded is sent"


def _recorded_steps(recording: Recording) -> Iterator[Step]:
    packets = _packets(recording)
    unsent = 0
    for line in recording.lines:
        if line.side == "s2c":
            yield line
        elif unsent:
            unsent -= 1
        else:
            packet = next(packets)
            unsent = len(packet) - 1
            yield packet
    if recording.name in ENDS:
        yield ENDS[recording.name]


def _packets(recording: Recording) -> Iterator[tuple[Line, ...]]:
    lines = (line for line in recording.lines if line.side == "c2s")
    for size in recording.packets:
        yield tuple(islice(lines, size))


def _typ(text: str) -> Any:
    return Line("s2c", text).payload["typ"]


def _ticks(line: Line, tick: int) -> tuple[str, str]:
    return f'"tick":{line.payload["val"]["tick"]}', f'"tick":{tick}'


def _text(step: Step) -> str:
    match step:
        case Line():
            return canonical(step.text)
        case tuple():
            return "".join(line.text for line in step)
        case _:
            return repr(step)
