"""Bounds for the schemas with which a server describes itself: they come from a peer, and may be made to take forever.

References can multiply, so that a short document has more schemas for one value than can be validated. That is counted before
the first use. What still takes long, as a large array may, is ended by a timer of the system: the validator is no Python code, so
that no exception interrupts it.
"""

import signal
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Final

from enkaku_codegen.json_values import Schema
from enkaku_codegen.reading.dialects import DRAFT_2020_12, HOLDERS
from enkaku_codegen.reading.schemas import subschemas
from enkaku_codegen.reading.simple_schema import reference_name

__all__ = ["MOST", "limited", "multiplies"]

MOST: Final = 100_000
"""Schemas that may apply to a value, and to one place in it."""

_SECONDS: Final = 10  # of the processor, for one value
_SAME_VALUE: Final = frozenset(
    {"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"}
)


def multiplies(schemas: Iterable[Schema], definitions: Mapping[str, Schema]) -> bool:
    """Return whether more than ``MOST`` schemas may apply to a value, or they are nested too deep to be counted.

    Args:
        schemas: The schemas.
        definitions: What they refer to.
    """
    counter = _Counter(definitions)
    try:
        return any(counter.count(each) > MOST for each in schemas)
    except RecursionError:
        return True


class _Counter:
    """Counts the schemas that apply to a value, and to that place in it to which the most apply.

    Args:
        definitions: The definitions of the document.
    """

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions: Final = definitions
        self._known: Final[dict[str, int]] = {}

    def count(self, schema: Schema) -> int:
        if isinstance(schema, bool):
            return 1
        number, inside = 1, 0
        for path, each in subschemas(schema, DRAFT_2020_12):
            if path[0] in HOLDERS:
                continue
            if path[0] in _SAME_VALUE:
                number += self.count(each)
            else:
                inside = max(inside, self.count(each))
        name = reference_name(schema)
        if name is not None:
            if name not in self._known:
                self._known[name] = (
                    1  # if it refers to itself: the validator sees that, and repeats nothing
                )
                self._known[name] = self.count(self._definitions.get(name, True))
            number += self._known[name]
        return number + inside


@contextmanager
def limited() -> Generator[None]:
    """Let the system end the process (by SIGPROF) if the block takes longer than 10 seconds of the processor."""
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
