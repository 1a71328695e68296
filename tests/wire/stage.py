"""Context of an action in the client's replay: the client, the server that plays a recording, and the observed results."""

import asyncio
import re
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from enkaku import CallError, ClientStream, Connection, EnkakuError, Model
from recorded import RecordedClient
from wire.ends import RawEnd
from wire.transcript import Line, canonical

# Enkaku's additional properties, which the TypeScript implementation ignores: WIRE.md, "Silent extensions".
_EXTENSIONS: Final = re.compile(r',"(?:(?:win|ttl)":\d+|ext":\[[^]]*\])')


class Playback:
    """A server that plays a recording: compares the client's messages, and sends the recorded replies.

    Our ids are mapped to the recorded ones, one to one, as calls are opened.

    Args:
        ordered: Whether the order of properties in the client's messages is compared.
    """

    def __init__(self, end: RawEnd, lines: tuple[Line, ...], *, ordered: bool) -> None:
        self._end = end
        self._lines = lines
        self._ordered = ordered
        self._ours: dict[str, str] = {}
        self._crossed = [asyncio.Event() for _ in lines]

    async def run(self) -> None:
        """Play all messages."""
        for line, crossed in zip(self._lines, self._crossed, strict=True):
            if line.side == "s2c":
                self._end.write(self._translated(line))
            else:
                text = await self._end.read_line()
                assert text is not None, f"the client ended without {line.text}"
                self._map_id(line, Line("c2s", text))
                ours, theirs = self._canonical(_EXTENSIONS.sub("", text)), self._canonical(
                    self._translated(line).text
                )
                assert ours == theirs, f"\nours:     {ours}\nrecorded: {theirs}"
            crossed.set()

    async def end(self) -> None:
        """End the connection from the server's side."""
        await self._end.end()

    def kill(self) -> None:
        """Abort the connection."""
        self._end.abort()

    async def run_end(self) -> None:
        """Wait for the client's end, and check that no message precedes it."""
        rest = await self._end.read_rest()
        await self._end.end()
        assert not rest, f"more lines than recorded: {rest}"

    async def crossed(self, count: int) -> None:
        """Wait until a number of messages have been exchanged, in both directions together."""
        await self._crossed[count - 1].wait()

    async def opened(self, rid: str) -> None:
        """Wait until the call with this recorded id has been opened."""
        for line, crossed in zip(self._lines, self._crossed, strict=True):
            if line.side == "c2s" and line.payload.get("rid") == rid:
                await crossed.wait()
                return
        raise AssertionError(f"{rid!r} is not opened")

    def _map_id(self, line: Line, ours: Line) -> None:
        if line.payload.get("typ") in {"request", "stream", "channel"}:
            rid = ours.payload["rid"]
            assert rid not in self._ours.values(), f"the id {rid!r} is used twice"
            assert line.payload["rid"] not in self._ours, "ours never repeat"
            self._ours[line.payload["rid"]] = rid

    def _translated(self, line: Line) -> Line:
        """Replace the recorded id by Enkaku's."""
        rid = line.payload.get("rid")
        if rid is None or rid not in self._ours:
            return line
        before, after = f'"rid":"{rid}"', f'"rid":"{self._ours[rid]}"'
        assert before in line.text
        return Line(line.side, line.text.replace(before, after, 1))

    def _canonical(self, text: str) -> str:
        return canonical(text, ordered=self._ordered)


@dataclass(frozen=True, slots=True)
class Stage:
    """The context of an action."""

    connection: Connection
    client: RecordedClient
    play: Playback


def as_json(value: object) -> Any:
    """Convert a result of Enkaku's client to that of the TypeScript client."""
    if isinstance(value, Model):
        return value.model_dump(by_alias=True, exclude_unset=True)
    return value


async def outcome(call: Awaitable[object]) -> Any:
    """Wait for a call, and describe its end in the form of the recordings' index."""
    try:
        value = await call
    except CallError as error:
        seen = {"code": error.code, "message": error.message, "data": error.data}
        return {"rejected": {"RequestError": seen}}
    except EnkakuError as error:
        return {"rejected": type(error).__name__}
    except asyncio.CancelledError:
        this = asyncio.current_task()
        if this is None or this.cancelling():
            raise
        return {"rejected": "CancelledError"}
    return {"resolved": as_json(value)}


async def take(stream: ClientStream[Any, Any], count: int) -> list[Any]:
    """Read a number of items."""
    return [as_json(await anext(stream)) for _ in range(count)]


async def take_all(stream: ClientStream[Any, Any]) -> list[Any]:
    """Read all items; ``outcome(stream.result())`` returns a possible error."""
    items: list[Any] = []
    while True:
        try:
            items.append(as_json(await anext(stream)))
        except (EnkakuError, StopAsyncIteration):
            return items
