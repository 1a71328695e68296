"""Search for costly messages: Hypothesis maximizes the CPU time that a server takes for each byte.

    python -m soak.search --examples 2000

An example is a small unit, repeated until the message is as large as a server accepts: so whatever costs much for its size
exceeds the bound.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from enkaku import DecodeError, InvalidMessage, Limits
from enkaku.transports.lines import Lines
from enkaku.wire.messages import decode_client_message
from enkaku.wire.tally import tally
from hypothesis import HealthCheck, given, seed, settings, target
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from hostile.measuring import HOLD_MAX, REFERENCE
from hostile.server import reference
from hostile.target_protocol import procedures

__all__ = ["PARAMS", "TOKENS", "Search", "search_lines", "search_values"]

_LIMITS: Final = Limits()
_ALONE: Final = 32 * 1024  # bytes of a message that a server handles by itself
_SIZE: Final = 256 * 1024  # bytes of an example
_LONG: Final = 0.02  # seconds of an example that the reference is compared with
_REPEATS: Final = 6
# A number of more than 14 digits that its schema divides by a fraction takes 1.5 us; docs/security.md says so.
_KNOWN: Final[Mapping[str, float]] = {"tenths": 0.1}

PARAMS: Final[Mapping[str, Any]] = {
    each.name: each.param
    for each in vars(procedures).values()
    if hasattr(each, "param") and each.param.declared
}
TOKENS: Final = [
    *(
        '{"header":{"typ":"JWT","alg":"none"},"payload":{',
        '"typ":"request"',
        '"rid":"r"',
        '"prc":"any"',
    ),
    *(
        '"prm":',
        '"typ":"event"',
        '"data":',
        '"signature":"s"',
        "}}",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
    ),
    *(
        '"',
        "\\",
        '\\"',
        "\\ud800",
        "\\u0041",
        "1",
        "-0.0",
        "1e5",
        "1.10",
        "9" * 40,
        "a",
        " ",
        "true",
        "null",
    ),
    *("\ufeff", "\U0001f600", "é"),
]


class Search:
    """Measures examples.

    Attributes:
        worst: Nanoseconds for each byte of the most costly example.
        example: That example, or its beginning.
    """

    def __init__(self) -> None:
        self.worst = 0.0
        self.example = ""

    def measure(self, data: bytes, name: str, use: Callable[[bytes], object]) -> None:
        """Measure what one callback of a server would do; fail if that is above the bound."""
        bound = _KNOWN.get(name, HOLD_MAX)
        took = self._once(data, use)
        for _ in range(_REPEATS if took > bound else 1):  # what disturbs one of them is no cost
            took = min(took, self._once(data, use))
        cost = took * 1e9 / len(data)
        target(cost, label=name)
        if cost > self.worst:
            self.worst, self.example = cost, f"{name}: {data[:200]!r} ({len(data)} bytes)"
        assert took <= bound, f"{name}: {took * 1e3:.0f} ms for {data[:500]!r} ({len(data)} bytes)"

    def _once(self, data: bytes, use: Callable[[bytes], object]) -> float:
        began = time.thread_time()
        with suppress(DecodeError, InvalidMessage):
            use(data)
        took = time.thread_time() - began
        return took * REFERENCE / reference() if took > _LONG else took


def _decode_line(line: bytes) -> None:
    message = decode_client_message(line)
    value = getattr(message.payload, "prm", b"")
    if isinstance(value, bytes | memoryview) or value:
        PARAMS["any"].decode(bytes(value))


def search_lines(search: Search, examples: int, number: int | None = None) -> None:
    """Search for costly lines."""
    units = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=12).map("".join)

    @_settings(examples, number)
    @given(units, units, units)
    def run(before: str, unit: str, after: str) -> None:
        text = (before + unit * (_SIZE // len(unit.encode())) + after).encode() + b"\n"
        lines = Lines(_LIMITS.message_size)
        search.measure(text, "framing", lines.split)
        for line in sorted(set(Lines(_LIMITS.message_size).split(text)), key=len)[-1:]:
            assert isinstance(line, bytes)
            if len(line) <= _ALONE or tally(line, _LIMITS.values) is not None:
                search.measure(line, "line", _decode_line)

    run()


def search_values(search: Search, examples: int, number: int | None = None) -> None:
    """Search for costly values."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(10**30), 10**30)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=20)
        | st.sampled_from(["circle", "group", "\ud800"])
    )
    names = st.sampled_from(["a", "k", "id", "name", "tags", "kind", "radius", "shapes"])
    values = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
        max_leaves=10,
    )

    @_settings(examples, number)
    @given(st.sampled_from(sorted(PARAMS)), values, st.integers(0, 30), st.sampled_from("al"))
    def run(name: str, value: object, depth: int, kind: str) -> None:
        for _ in range(depth):
            value = {"a": value} if kind == "a" else [value]
        unit = json.dumps(value, separators=(",", ":")).encode() + b","
        counted = tally(unit, 10**9)
        assert counted is not None
        count = min(_SIZE // len(unit), (_LIMITS.values - 10) // max(1, counted.values))
        data = b"[" + (unit * max(1, count))[:-1] + b"]"
        search.measure(data, name, PARAMS[name].decode)

    run()


def _settings(examples: int, number: int | None) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        made = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(function)
        return made if number is None else seed(number)(made)

    return decorate


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m soak.search", description=__doc__)
    parser.add_argument("--examples", type=int, default=2_000, help="of lines, and of values")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    for each in PARAMS.values():
        each.prepare()
    for run in (search_lines, search_values):
        search = Search()
        run(search, options.examples, options.seed)
        sys.stdout.write(f"{run.__name__}: {search.worst:,.0f} ns per byte: {search.example}\n")


if __name__ == "__main__":
    main()
