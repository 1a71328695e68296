"""Recordings of the TypeScript implementation: their messages in order, and a normal form for comparison."""

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

FOLDER: Final = Path(__file__).parent / "recordings"
LARGE: Final = "large-1mb"

Side = Literal["c2s", "s2c"]


@dataclass(frozen=True, slots=True)
class Line:
    """One recorded line, without its newline.

    Attributes:
        side: The direction: ``"c2s"`` or ``"s2c"``.
        unterminated: Whether the newline was missing.
    """

    side: Side
    text: str
    unterminated: bool = False

    @property
    def data(self) -> bytes:
        """The bytes, with the newline."""
        return self.text.encode() + (b"" if self.unterminated else b"\n")

    @property
    def payload(self) -> dict[str, Any]:
        """The payload of a message; empty if the line is not a message."""
        try:
            message = json.loads(self.text.removeprefix("\ufeff"), strict=False)
            return dict(message["payload"])
        except (ValueError, TypeError, KeyError):
            return {}


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording.

    Attributes:
        lines: All lines of both sides, in order.
        packets: The number of lines in each of the client's packets.
        seen: The observations of the TypeScript client; None if a raw socket was recorded.
        ended_by: Which side ended the connection first.
    """

    name: str
    description: str
    lines: tuple[Line, ...]
    packets: tuple[int, ...]
    seen: Any
    ended_by: Side

    @property
    def raw(self) -> bool:
        """Whether a raw socket was recorded instead of the TypeScript client."""
        return self.name.startswith("raw-")


@cache
def load_recordings() -> dict[str, Recording]:
    """Return all recordings by name, in the order of the index."""
    cases = json.loads((FOLDER / "index.json").read_text("utf-8"))["cases"]
    return {case["name"]: _read(case) for case in cases}


def _read(case: dict[str, Any]) -> Recording:
    name = case["name"]
    lines = _make_large() if name == LARGE else _read_lines(FOLDER / f"{name}.jsonl")
    return Recording(
        name=name,
        description=case["description"],
        lines=lines,
        packets=_cut(lines, case.get("chunks")),
        seen=_without_undefined(case.get("client")),
        ended_by=case.get("eofs", ["c2s"])[0],
    )


def _read_lines(path: Path) -> tuple[Line, ...]:
    # Not splitlines(): the texts hold U+2028.
    entries = [json.loads(entry) for entry in path.read_text("utf-8").split("\n") if entry]
    return tuple(
        Line(entry["dir"], entry["line"], unterminated=entry.get("unterminated", False))
        for entry in entries
    )


def _make_large() -> tuple[Line, ...]:
    value = {"data": "x" * 1_000_000}
    return (
        message("c2s", {"typ": "request", "rid": "r1", "prc": "echo", "prm": value}),
        message("s2c", {"typ": "result", "rid": "r1", "val": value}),
    )


def _without_undefined(seen: Any) -> Any:
    """Replace JavaScript's undefined, an absent result, by None."""
    if isinstance(seen, dict):
        return {name: _without_undefined(value) for name, value in seen.items()}
    return None if seen == "<undefined>" else seen


def _cut(lines: tuple[Line, ...], chunks: str | None) -> tuple[int, ...]:
    """Return the number of lines in each of the client's packets; one if it was not recorded."""
    sizes = [len(line.data) for line in lines if line.side == "c2s"]
    if chunks is None:
        return (1,) * len(sizes)
    packets: list[int] = []
    for chunk in chunks.split():
        side, size = chunk.split(":")
        if side == "c2s":
            count, rest = 0, int(size)
            while rest > 0:
                rest -= sizes.pop(0)
                count += 1
            assert rest == 0, f"the packets of {chunks} end within lines"
            packets.append(count)
    assert not sizes, f"{chunks} has fewer lines than the file"
    return tuple(packets)


def message(side: Side, payload: dict[str, Any]) -> Line:
    """Return the line of a message."""
    envelope = {"header": {"typ": "JWT", "alg": "none"}, "payload": payload}
    return Line(side, json.dumps(envelope, ensure_ascii=False, separators=(",", ":")))


def canonical(text: str, *, figures: frozenset[str] = frozenset(), ordered: bool = True) -> str:
    """Return a normal form of JSON: two texts have the same one if and only if they are equal as JSON.

    Numbers are compared by value, strings by their characters, objects member by member: in their order,
    and as often as they are there.

    Args:
        figures: Members whose value, if it is a number, may be any number.
        ordered: Whether the order of an object's members matters.

    Raises:
        ValueError: The text is not JSON.
    """
    value = json.loads(
        text,
        object_pairs_hook=_Members,
        parse_constant=_refuse,
        parse_float=Decimal,
        parse_int=Decimal,
    )
    return _write(value, figures, ordered=ordered)


class _Members(list[tuple[str, Any]]):
    """The properties of an object, in order; other lists are arrays."""


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _write(value: object, figures: frozenset[str], *, ordered: bool) -> str:
    if isinstance(value, _Members):
        members = [
            f"{json.dumps(name)}:{_write_member(name, member, figures, ordered=ordered)}"
            for name, member in value
        ]
        return f"{{{','.join(members if ordered else sorted(members))}}}"
    if isinstance(value, list):
        return f"[{','.join(_write(item, figures, ordered=ordered) for item in value)}]"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return json.dumps(value)


def _write_member(name: str, value: object, figures: frozenset[str], *, ordered: bool) -> str:
    if name in figures and isinstance(value, Decimal):
        return "a number"
    return _write(value, figures, ordered=ordered)
