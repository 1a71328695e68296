"""Formats that types of strings enforce, as patterns: the search needs no more of them.

A string that the first pattern of a format matches has the format; one that has it matches the second. So what the search
finds is accepted by the writer's type and rejected by the reader's.
"""

from collections.abc import Mapping
from typing import Final

from enkaku_codegen.json_values import Json, Schema, Tokens
from enkaku_codegen.reading.dialects import DRAFT_2020_12
from enkaku_codegen.reading.options import STRING_KEYWORDS
from enkaku_codegen.reading.schemas import rebuilt
from enkaku_codegen.reading.simple_schema import as_list

from .pair import Pair, Side

__all__ = ["PATTERNS", "with_patterns"]

_DAY: Final = "[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
_ANY_DAY: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ANY_TIME: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[-+][0-9]{2}:[0-9]{2})"
_BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

PATTERNS: Final[Mapping[str, tuple[str, str]]] = {
    "date-time": (f"^{_DAY}T{_TIME}$", f"^{_ANY_DAY}[Tt ]{_ANY_TIME}$"),
    "date": (f"^{_DAY}$", f"^{_ANY_DAY}$"),
    "time": (f"^{_TIME}$", f"^{_ANY_TIME}$"),
    "duration": ("^P(T[1-9]H|[1-9]D)$", "^[Pp][0-9A-Za-z.,]+$"),
    "uuid": (
        "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$",
        "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
    ),
    "ipv4": (f"^{_BYTE}(\\.{_BYTE}){{3}}$", "^[0-9]{1,3}(\\.[0-9]{1,3}){3}$"),
    "ipv6": ("^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}$", "^[0-9A-Fa-f:.]+$"),
    "base64": ("^([A-Za-z0-9+/]{4})*$", "^[-A-Za-z0-9+/=_\\s]*$"),
}
"""Two patterns for each format and encoding: of some strings that have it, and of all."""


def with_patterns(pair: Pair) -> Pair:
    """Return a pair whose writer accepts some of the strings of its formats, and whose reader accepts more than these."""
    return Pair(_patterned(pair.writer, 0), _patterned(pair.reader, 1))


def _patterned(side: Side, which: int) -> Side:
    if not side.has_string_types:
        return side

    def made(_: Tokens, schema: Schema) -> Schema:
        if isinstance(schema, bool):
            return schema
        new = rebuilt(schema, DRAFT_2020_12, made)
        names = [each for key in STRING_KEYWORDS if isinstance(each := new.pop(key, None), str)]
        # Where both are there, the format decides.
        added: list[Json] = [{"pattern": PATTERNS[name][which]} for name in names[:1]]
        if added:
            new["allOf"] = [*as_list(new.get("allOf")), *added]
        return new

    return Side(
        made((), side.schema),
        {name: made((), each) for name, each in side.definitions.items()},
    )
