"""Compares the server's estimate of the memory of decoded values with what they take."""

import gc
import tracemalloc
from collections.abc import Iterator, Mapping
from typing import Any, Final

from enkaku.server.capacity import CALL_SIZE, decoded_size

from hostile import target_protocol as protocol
from hostile.attacks import array, group, nested, numbered, wide_object

__all__ = ["EXCEPTIONS", "RATIOS", "compare", "ratios"]

RATIOS: Final = (0.8, 5.0)
"""The least and the largest ratio of the estimate to the memory, for usual values."""
EXCEPTIONS: Final = {"equal strings": 12.0, "small integers": 12.0, "empty objects": 12.0}
"""Larger ratios: values that Python shares, and objects that are dicts and no models."""

_TEXT: Final = "The quick brown fox jumps over the lazy dog. " * 2
_RECORD: Final = (
    '{"id":#,"name":"Ada Lovelace","email":"ada@example.com","active":true,"score":0.75}'
)
SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "a text of 100 KB": ("text", f'"{"lorem ipsum " * 8_500}"'),
    "a text of 100 KB in Cyrillic": ("text", f'"{"слово " * 9_000}"'),
    "a text with an emoji": ("text", f'"{"lorem ipsum " * 8_500}\U0001f600"'),
    "texts": ("any", numbered(f'"#{_TEXT}"', size=100_000)),
    "short strings": ("any", numbered('"s#"')),
    "equal strings": ("any", array('"a"')),
    "integers": ("any", numbered("#")),
    "small integers": ("any", array("1")),
    "floats": ("any", numbered("#.5")),
    "records": ("any", numbered(_RECORD, size=100_000)),
    "models": ("items", numbered('{"id":#,"name":"Ada Lovelace","tags":["math","poetry"]}')),
    "models of one property": ("items", numbered('{"id":#}')),
    "models of a union": ("shapes", array(group(60))),
    "empty arrays": ("any", array("[]")),
    "empty objects": ("any", array("{}")),
    "nested arrays": ("any", array(nested(150))),
    "one object": ("any", wide_object()),
}


def ratios() -> Iterator[tuple[str, int, int, int]]:
    """Yield the name of each shape, its bytes, the estimate, and what its decoded value takes."""
    procedures: dict[str, Any] = {
        "any": protocol.procedures.ANY,
        "items": protocol.procedures.ITEMS,
        "shapes": protocol.procedures.SHAPES,
        "text": protocol.procedures.TEXT,
    }
    for name, (prc, param) in SHAPES.items():
        data = param.encode()
        decode = procedures[prc].param.decode
        decode(data)
        gc.collect()
        tracemalloc.start()
        try:
            value = decode(data)
            size, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        del value
        yield name, len(data), decoded_size(data) - CALL_SIZE, size


def compare() -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"{'decoded values':34}{'bytes':>10}{'estimate':>12}{'memory':>12}{'ratio':>8}"
    for name, sent, estimate, size in ratios():
        yield f"{name:34}{sent:10,}{estimate:12,}{size:12,}{estimate / size:8.2f}"
