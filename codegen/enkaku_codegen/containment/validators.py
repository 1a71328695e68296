"""Validators of the two sides of a pair, with the options of those that run at run time."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from jsonschema_rs import ValidationError, validator_for

from enkaku_codegen.json_values import Json, Schema, exact_number, exact_numbers
from enkaku_codegen.proving.constants import COMPARISONS
from enkaku_codegen.reading.bundle import needed_definitions, without_annotations

from .pair import Side

__all__ = ["Validator", "Validators"]

_MOST_CHARS: Final = 300


class Validator:
    """A schema that values are tried on; formats are not asserted."""

    def __init__(self, schema: Json, keywords: Mapping[str, type]) -> None:
        given: Any = keywords
        try:
            self._validator = validator_for(
                exact_numbers(schema), validate_formats=False, offline=True, keywords=given
            )
        except (ValidationError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"jsonschema-rs rejects the schema: {reason}") from None

    def accepts(self, value: Json) -> bool:
        """Return whether the schema accepts a value."""
        return self._validator.is_valid(exact_numbers(value))

    def fault(self, value: Json) -> str:
        """Return why the schema rejects a value."""
        try:
            self._validator.validate(exact_numbers(value))
        except ValidationError as error:
            where = "".join(f"/{each}" for each in error.instance_path)
            text = error.message
            text = text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}..."
            return f"at {where}: {text}" if where else text
        return ""


class Validators:
    """Makes the validators of one side.

    Attributes:
        whole: The validator of the whole schema.
    """

    def __init__(self, side: Side) -> None:
        # To the last digit: jsonschema-rs rounds some numbers.
        exact = side.has_long_numbers or side.has_fractions
        self._keywords: Final = _KEYWORDS if exact else _NO_KEYWORDS
        self._definitions: Final = side.definitions
        self._made: dict[tuple[int, ...], tuple[Validator, tuple[Schema, ...]]] = {}
        self._known: dict[str, Schema] = {}
        self.whole: Final = self.of(side.schema)

    def of(self, *schemas: Schema) -> Validator:
        """Return the validator of values that match all of some schemas."""
        key = tuple(map(id, schemas))
        if key not in self._made:
            whole: dict[str, Json] = {"allOf": [*schemas]}
            document: dict[str, Json] = {
                "allOf": [without_annotations(each) for each in schemas or (True,)]
            }
            document["$defs"] = {
                name: self._definition(name)
                for name in needed_definitions(whole, self._definitions)
            }
            # With the schemas, whose identities are the key and must not be those of others.
            self._made[key] = Validator(document, self._keywords), schemas
        return self._made[key][0]

    def _definition(self, name: str) -> Schema:
        if name not in self._known:
            self._known[name] = without_annotations(self._definitions[name])
        return self._known[name]


def _keyword(compare: Callable[[Decimal, Decimal], bool]) -> type:
    class Compared:
        def __init__(self, parent: object, value: _Number, path: object) -> None:
            del parent, path
            self._asked = _exact(value)

        def validate(self, instance: object) -> None:
            if not isinstance(instance, int | float | Decimal) or isinstance(instance, bool):
                return
            if not compare(_exact(instance), self._asked):
                raise ValueError(f"{instance} does not match")

    return Compared


_Number: TypeAlias = int | float | Decimal


def _exact(number: _Number) -> Decimal:
    return number if isinstance(number, Decimal) else exact_number(number)


_NO_KEYWORDS: Final[Mapping[str, type]] = {}
_KEYWORDS: Final = {keyword: _keyword(compare) for keyword, compare in COMPARISONS.items()}
