"""Numbers and strings at the borders of schemas."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Final

from enkaku_codegen.json_values import Json, LongNumber, exact_number, is_number
from enkaku_codegen.reading.simple_schema import SimpleSchema

from .patterns import marks, samples

__all__ = ["lengths", "numbers", "strings"]

_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_NUMBERS: Final = tuple(map(Decimal, ("0", "1", "-1", "0.5", "-1.5", "2", "1000", "-1000")))
_TEXTS: Final = ("", "a", "A", "0", " ", "aa", "é", "😀", "a b", "a-b", "\n")
_CHARS: Final = ("a", "b", "0", "-", "A")
_LONGEST: Final = 20_000
_LONGEST_TEXT: Final = 300_000
_MOST_DIGITS: Final = 400


def numbers(schemas: Sequence[SimpleSchema]) -> Iterator[Json]:
    """Yield numbers at the borders of schemas, and some others."""
    bounds = sorted(
        {each for schema in schemas for key in _BOUNDS for each in _number(schema, key)}
    )
    steps = sorted(
        {abs(each) for schema in schemas for each in _number(schema, "multipleOf")} - {0}
    )
    points = [*_NUMBERS]
    for bound in bounds:
        points += [bound, bound + 1, bound - 1, bound + Decimal("0.5"), bound - Decimal("0.5")]
    points += [(low + high) / 2 for low, high in pairwise(bounds)]
    near = points[:40]
    for step in steps[:4]:
        points += [step * factor for factor in (1, -1, 2, 3, 5, 7)]
        for point in near:
            count = Fraction(point) // Fraction(step)
            points += [step * (count + extra) for extra in (-1, 0, 1, 2)]
    for point in dict.fromkeys(points):
        yield from _json(point)


def _number(schema: SimpleSchema, key: str) -> list[Decimal]:
    value = schema.get(key)
    return [exact_number(value)] if is_number(value) else []


def _json(number: Decimal) -> Iterator[Json]:
    if abs(number.adjusted()) > _MOST_DIGITS:
        return
    if number == number.to_integral_value():
        yield int(number)
    elif exact_number(float(number)) == number:
        yield float(number)
    else:
        yield LongNumber(number)


def lengths(schemas: Sequence[SimpleSchema], *keys: str, most: int = _LONGEST) -> list[int]:
    """Return the sizes that schemas limit, and those next to them; in ascending order."""
    found = {0, 1, 2}
    for schema in schemas:
        for key in keys:
            value = schema.get(key)
            if is_number(value) and 0 <= value <= most:
                found |= {int(value) - 1, int(value), int(value) + 1}
    return sorted(each for each in found if each >= 0)


def strings(schemas: Sequence[SimpleSchema]) -> Iterator[str]:
    """Yield strings at the borders of schemas, and some others."""
    yield from _TEXTS
    sizes = lengths(schemas, "minLength", "maxLength", most=_LONGEST_TEXT)
    for size in sizes:
        for char in _CHARS if size <= _LONGEST else _CHARS[:1]:
            yield char * size
    found = dict.fromkeys(each["pattern"] for each in schemas if "pattern" in each)
    patterns = [each for each in found if isinstance(each, str)][:12]
    chars = [code for pattern in patterns for code in marks(pattern)]
    for pattern in patterns:
        yield from samples(pattern, chars, sizes)
