"""Two implementations of JSON Schema that are not ours, and what both of them say."""

from collections.abc import Callable, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from operator import ge, gt, le, lt
from typing import Any, Final

import jsonschema
import jsonschema_rs
from json_values import decimals, nearest_floats

from .schemas import Draft, Schema
from .words import python_pattern

__all__ = ["Judge", "whole_schema"]

_RUST: Final = {
    "draft2020-12": jsonschema_rs.Draft202012Validator,
    "draft7": jsonschema_rs.Draft7Validator,
}
_PYTHON: Final = {
    "draft2020-12": jsonschema.Draft202012Validator,
    "draft7": jsonschema.Draft7Validator,
}


def _compared(fits: Callable[[Fraction, Fraction], bool]) -> type:
    """Make a keyword that compares numbers exactly: jsonschema-rs rounds some long ones."""

    class Keyword:
        def __init__(self, _parent: Any, value: Any, _path: Any) -> None:
            self._limit = Fraction(str(value))

        def validate(self, instance: Any) -> None:
            is_number = isinstance(instance, int | float | Decimal) and not isinstance(
                instance, bool
            )
            if is_number and not fits(Fraction(str(instance)), self._limit):
                raise ValueError("another number")

    return Keyword


_KEYWORDS: Final[dict[str, Any]] = {
    "exclusiveMaximum": _compared(lt),
    "exclusiveMinimum": _compared(gt),
    "maximum": _compared(le),
    "minimum": _compared(ge),
    "multipleOf": _compared(lambda number, step: (number / step).denominator == 1),
}
_DEEPEST: Final = 6  # the slow judge's time may double with each level


class Judge:
    """Says what a schema accepts.

    Args:
        second: Whether ``jsonschema``, which is slow, is asked as well.

    Attributes:
        failure: Why the schema can't be judged, if so.
    """

    def __init__(
        self, draft: Draft, schema: Schema, definitions: Mapping[str, Schema], *, second: bool
    ) -> None:
        whole = whole_schema(schema, definitions)
        self._first: Any = None
        self._second: Any = None
        try:
            self._first = _RUST[draft](
                decimals(_for_rust(whole)), validate_formats=False, keywords=_KEYWORDS
            )
        except Exception as error:  # noqa: BLE001 - of whatever kind
            self.failure = f"{type(error).__name__}: {error}"
            return
        self.failure = ""
        if second:
            self._second = _PYTHON[draft](decimals(_for_python(whole)))

    def accepts(self, value: Any) -> bool | None:
        """Tell whether the schema accepts a value, in exact decimals.

        Args:
            value: The value, with Decimals for the numbers that no double has all digits of.

        Returns:
            None if the two judges differ, or one fails, or a number fits as it is written, but not as the double that
            the program gets for it.
        """
        verdict = self._verdict(decimals(value))
        rounded = nearest_floats(value)
        is_open = verdict is True and rounded != value and not self._verdict(decimals(rounded))
        return None if is_open else verdict

    def _verdict(self, value: Any) -> bool | None:
        try:
            first = self._first.is_valid(value)
            asked = self._second is not None and _depth(value) <= _DEEPEST
            with localcontext(prec=1000):  # the digits of remainders
                second = self._second.is_valid(value) if asked else first
        except Exception:  # noqa: BLE001 - of whatever kind
            return None
        return first if first == second else None


def _depth(value: Any) -> int:
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, within), default=-1)


def whole_schema(schema: Schema, definitions: Mapping[str, Schema]) -> dict[str, Any]:
    """Give a schema that stands by itself."""
    return {"$defs": dict(definitions), "allOf": [schema]}


def _for_rust(schema: Any) -> Any:
    """Give a schema that says nothing of its texts' contents: for draft-07, that would be checked."""
    match schema:
        case dict():
            return {
                key: _for_rust(value)
                for key, value in schema.items()
                if key not in ("contentEncoding", "contentMediaType")
            }
        case list():
            return [_for_rust(each) for each in schema]
        case _:
            return schema


def _for_python(schema: Any) -> Any:
    """Give a schema with its patterns in the words of ``re``."""
    match schema:
        case dict():
            return {key: _translated(key, value) for key, value in schema.items() if key != "x-own"}
        case list():
            return [_for_python(each) for each in schema]
        case _:
            return schema


def _translated(word: str, value: Any) -> Any:
    match word, value:
        case "pattern", str():
            return python_pattern(value)
        case "patternProperties", dict():
            return {python_pattern(each): _for_python(below) for each, below in value.items()}
        case ("const" | "enum" | "default" | "examples"), _:
            return value
        case _:
            return _for_python(value)
