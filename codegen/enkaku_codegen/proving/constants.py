"""Validation of a single value by one keyword, with the validator that runs at run time."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any, Final

from jsonschema_rs import Draft202012Validator

from enkaku_codegen.json_values import (
    Json,
    as_json,
    exact_number,
    exact_numbers,
    is_number,
    read_number,
)
from enkaku_codegen.reading.regexes import with_validator_patterns

__all__ = ["COMPARISONS", "fits"]


def fits(value: Json, keyword: str, asked: Json) -> bool:
    """Return whether a value matches a schema of one keyword, without subschemas."""
    if keyword in COMPARISONS and is_number(asked):
        # jsonschema-rs rounds some large numbers.
        compare = COMPARISONS[keyword]
        return not is_number(value) or compare(exact_number(value), exact_number(asked))
    return _fits(as_json(value), keyword, as_json(asked))


@lru_cache(maxsize=4096)
def _fits(value: str, keyword: str, asked: str) -> bool:
    schema = with_validator_patterns({keyword: _parsed(asked)})
    return Draft202012Validator(schema, validate_formats=False).is_valid(_parsed(value))


def _parsed(text: str) -> Any:  # noqa: ANN401 # a JSON value that may contain Decimals
    return exact_numbers(json.loads(text, parse_float=read_number))


COMPARISONS: Final[Mapping[str, Callable[[Decimal, Decimal], bool]]] = {
    "exclusiveMaximum": lt,
    "exclusiveMinimum": gt,
    "maximum": le,
    "minimum": ge,
    "multipleOf": lambda number, step: Fraction(number) % Fraction(step) == 0,
}
"""The keywords that compare numbers, and how they do it: to the last digit."""
