"""Validators for the two schemas of a pair, with the options of those that run at run time."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from jsonschema_rs import ValidationError, validator_for

from enkaku_codegen.json_values import Json, Schema, exact_number, exact_numbers
from enkaku_codegen.proving.constants import COMPARISONS
from enkaku_codegen.reading.bundle import needed_definitions

from .pair import Side

__all__ = ["Validator", "validator"]


class Validator:
    """A schema that values are tried on; formats are not asserted."""

    def __init__(self, side: Side) -> None:
        try:
            # To the last digit: jsonschema-rs rounds some numbers.
            keywords: Any = _KEYWORDS if side.has_long_numbers or side.has_fractions else {}
            self._validator = validator_for(
                exact_numbers(side.document),
                validate_formats=False,
                offline=True,
                keywords=keywords,
            )
        except (ValidationError, ValueError) as error:
            raise ValueError(f"jsonschema-rs rejects the schema: {error}") from None

    def accepts(self, value: Json) -> bool:
        """Return whether the schema accepts a value."""
        return self._validator.is_valid(exact_numbers(value))

    def fault(self, value: Json) -> str:
        """Return why the schema rejects a value."""
        try:
            self._validator.validate(exact_numbers(value))
        except ValidationError as error:
            where = "".join(f"/{each}" for each in error.instance_path)
            return f"at {where}: {error.message}" if where else error.message
        return ""


def validator(side: Side, *schemas: Schema) -> Validator:
    """Return the validator of values that match all of some schemas of a side."""
    whole: Schema = schemas[0] if len(schemas) == 1 else {"allOf": [*schemas]}
    return Validator(Side(whole, needed_definitions(whole, side.definitions)))


def _keyword(compare: Callable[[Decimal, Decimal], bool]) -> type:
    class Compared:
        def __init__(self, parent: Mapping[str, object], value: float, path: list[object]) -> None:
            del parent, path
            self._asked = exact_number(value)

        def validate(self, instance: object) -> None:
            is_number = isinstance(instance, int | float | Decimal)
            if is_number and not isinstance(instance, bool):
                number = instance if isinstance(instance, Decimal) else exact_number(instance)
                if not compare(number, self._asked):
                    raise ValueError(f"{instance} does not match")

    return Compared


_KEYWORDS: Final = {keyword: _keyword(compare) for keyword, compare in COMPARISONS.items()}
