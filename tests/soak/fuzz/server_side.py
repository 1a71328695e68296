"""Server fuzzer: a client sends malformed messages, and then a valid request, which must be answered."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import enkaku
from soak.counting import Counting

from .handler import GOOD, PROCEDURES, Bounded
from .lines import MESSAGE_SIZE, Lines, good_line, made_envelope, may_end, pieces
from .values import Members, odd_text
from .watch import Watch

__all__ = ["ServerSide"]

_WITHIN: Final = 30.0  # seconds, the time limit of a valid reply
_APART: Final = 40  # lines between two valid requests
_LAST: Final = "good: the last"  # no recording has an id with this prefix
_ENDING: Final = b"\n" + good_line(typ="request", rid=_LAST, prc="void")
_KINDS: Final = (*("open",) * 8, *("send",) * 6, *("abort", "credit") * 2, "end", "event")
_ANSWERS: Final = frozenset({"receive", "result", "error", "credit"})


class ServerSide:
    """A server, to which one raw client after the other connects.

    Args:
        path: Its socket.
        seed: The seed; together with a batch number, it determines what the batch sends.
        watch: Records the findings.
    """

    name = "server"

    def __init__(self, path: Path, seed: str, watch: Watch) -> None:
        self._path = path
        self._seed = seed
        self._watch = watch
        self._handler = Bounded()
        self._counting = Counting()
        # A low limit of calls, so that a leaked call soon makes the server reject others.
        self._limits = enkaku.Limits(
            invalid=1_000_000, message_size=MESSAGE_SIZE, server_calls=1_000, server_handlers=500
        )

    @property
    def reached(self) -> int:
        """How many calls and events reached a handler."""
        return self._handler.began

    async def run(self, numbers: range, count: int) -> AsyncGenerator[int, None]:
        """Run batches of ``count`` lines each; yield the number of each finished batch."""
        async with enkaku.serve_unix(
            self._handler,
            self._path,
            limits=self._limits,
            close_timeout=5.0,
            observers=[self._counting],
        ) as self._server:
            before = asyncio.all_tasks()
            for number in numbers:
                with self._watch.batch(f"{self.name}:{number}"):
                    await self._batch(Random(f"{self._seed}.{self.name}.{number}"), count)
                    await self._ask_on_new_connection()
                    await self._watch.check_tasks(before)
                    await self._watch.wait_until(
                        lambda: not self._server.connections,
                        lambda: f"connections are left: {self._server.connections}",
                    )
                    if self._handler.ended != self._handler.began:
                        self._watch.add("handlers have not ended")
                    if imbalance := self._counting.imbalance():
                        self._watch.add(f"starts and ends differ: {imbalance}")
                yield number

    async def _batch(self, random: Random, count: int) -> None:
        rids = [random.choice(("", "1", "r", "__proto__", "é")) + str(place) for place in range(8)]
        lines = Lines(random, "c2s", lambda: _made_up(random, rids), rids)
        data = b"".join(_mingled(lines, count))
        reader, writer = await asyncio.open_unix_connection(self._path, limit=2**26)
        try:
            async with asyncio.timeout(_WITHIN):
                if await self._send(random, data, reader, writer):
                    await self._reuse(rids, reader, writer)
                    await self._watch.wait_until(
                        lambda: not self._known(rids),
                        lambda: f"calls are left: {self._known(rids)}",
                    )
        except TimeoutError:
            self._watch.add(f"no answer to a good request within {_WITHIN:g} s")
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            if not may_end(data):
                self._watch.add(f"the connection ended: {error!r}")
        finally:
            writer.transport.abort()

    async def _send(
        self,
        random: Random,
        data: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Send the data in a random manner, and return whether the connection is still open."""
        good = {_good(place) for place in range(data.count(b'"good: '))}
        manner = random.choice(("together", "together", "late", "never", "cut"))
        if manner == "together":
            writing = asyncio.create_task(_write(random, writer, data + _ENDING))
            try:
                await self._await_answers(reader, good)
            finally:
                writing.cancel()
                await asyncio.wait({writing})
            return True
        for piece in pieces(random, data):
            writer.write(piece)
            await asyncio.sleep(0)
        if manner == "late":
            writer.write(_ENDING)
            await self._await_answers(reader, good)
            return True
        if manner == "cut":  # an end in the middle, while replies are in transit
            writer.write_eof()
            await reader.read()
        return False  # "never": the connection is aborted without reading

    async def _reuse(
        self, rids: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Abort every call, and check that all ids can be used again."""
        for rid in rids:
            writer.write(good_line(typ="abort", rid=rid))
        writer.write(_ENDING)
        await self._await_answers(reader, set())
        for rid in rids:
            writer.write(good_line(typ="request", rid=rid, prc="void"))
        writer.write(_ENDING)
        await self._await_answers(reader, set(rids))

    def _known(self, rids: list[str]) -> list[enkaku.Call]:
        """Return the open calls with one of these ids; malformed lines may have opened others."""
        calls = (call for each in self._server.connections for call in each.calls)
        return [call for call in calls if call.rid in rids]

    async def _ask_on_new_connection(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            async with asyncio.timeout(_WITHIN):
                writer.write(_ENDING)
                await self._await_answers(reader, set())
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
            self._watch.add(f"a new connection is not served: {error!r}")
        finally:
            writer.transport.abort()

    async def _await_answers(self, reader: asyncio.StreamReader, good: set[str]) -> None:
        """Read until the reply to the last valid request, and check that the others have been answered."""
        good, last = good | {_LAST}, False
        while not last:
            line = await reader.readuntil(b"\n")
            payload = _payload(line)
            rid = payload.get("rid")
            if payload.get("typ") not in _ANSWERS or not isinstance(rid, str):
                self._watch.add(f"the server sent {line!r:.500}")
            elif rid in good and payload["typ"] != "credit":
                good.discard(rid)
                last = rid == _LAST
                if payload != {"typ": "result", "rid": rid}:
                    self._watch.add(f"the reply to a valid request was {line!r:.500}")
        if good:
            self._watch.add(f"valid requests were not answered: {good}")


def _good(place: int) -> str:
    return f"good: {place}"


def _mingled(lines: Lines, count: int) -> Iterator[bytes]:
    """Insert valid requests between the lines."""
    last, good = b"\n", 0
    for place in range(count):
        if place % _APART == 0 or len(last) > MESSAGE_SIZE:
            yield b"" if last.endswith(b"\n") else b"\n"
            yield good_line(typ="request", rid=_good(good), prc="void")
            good += 1
        last = lines.make()
        yield last


def _payload(line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line)["payload"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


async def _write(random: Random, writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        for piece in pieces(random, data):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        return  # the reading side reports it


def _made_up(random: Random, rids: list[str]) -> Members:
    """Return a valid, or almost valid, message of a client."""
    name = random.choice(tuple(PROCEDURES))
    rid, kind = random.choice(rids), random.choice(_KINDS)
    fitting = GOOD.get(name) if random.random() < 0.8 else odd_text(random)
    body: list[tuple[str, Any]]
    match kind:
        case "open":
            typ = (
                PROCEDURES[name] if random.random() < 0.9 else random.choice(("request", "stream"))
            )
            body = [("typ", typ), ("rid", rid), ("prc", name)]
            slot = "prm"
            if typ == "event":
                body, slot = [("typ", typ), ("prc", name)], "data"
            body += [] if fitting is None else [(slot, fitting)]
        case "send":
            name = random.choice(("chat", "logs/watch"))
            body = [("typ", kind), ("prc", name), ("rid", rid), ("val", GOOD[name])]
        case "abort":
            reason = random.choice(("Close", "Close", "Cancelled", "x" * 2000))
            body = [("typ", kind), ("rid", rid), ("rsn", reason)]
        case "credit":
            size = random.choice((0, 1, 1_000, 10**6, -1, 2**63, odd_text(random)))
            body = [("typ", kind), ("rid", rid), ("n", size)]
        case "end":
            body = [("typ", kind), ("rid", rid)]
        case _:
            body = [("typ", "event"), ("prc", "ping")]
    return made_envelope(random, Members(body))
