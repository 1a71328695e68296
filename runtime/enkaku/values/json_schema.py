"""``Checked``: a type that accepts more than its schema, with a JSON Schema validator for the rest.

jsonschema-rs validates. It explains every alternative of a union, which can take exponential time: a large value gets its
first error only, by a copy of the schema whose unions are hidden from the explanation.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from typing_extensions import TypeForm

from enkaku._json import EXACT_INTEGER_MAX, decimal_of, dump_text, load_text
from enkaku.errors import MissingExtra, UsageError

from .digits import as_written, integer_of
from .numbers import is_multiple
from .surrogates import Placeholders, find_surrogates, replace_chars

__all__ = ["Checked", "CompiledSchema", "is_hidden_union"]


class UniqueItems:
    """The keyword ``uniqueItems``, in the form that jsonschema-rs requires of a keyword."""

    def __init__(self, parent: Mapping[str, object], value: object, path: list[object]) -> None:
        del parent, path
        self._required = value is True

    def validate(self, instance: object) -> None:
        """Raise ValueError if an array contains equal items."""
        if self._required and isinstance(instance, list):
            items = cast(list[object], instance)
            if len({_identity(item) for item in items}) < len(items):
                raise ValueError("unique items")


class _Limit(ABC):
    """A keyword that compares numbers, to the last digit; jsonschema-rs rounds some of them."""

    text = ""

    def __init__(self, parent: Mapping[str, object], value: object, path: list[object]) -> None:
        del parent, path
        self._limit = decimal_of(cast(float, value))
        self._text = self.text.format(value)

    def validate(self, instance: object) -> None:
        """Raise ValueError if the keyword rejects a number."""
        is_number = isinstance(instance, int | float | Decimal) and not isinstance(instance, bool)
        if is_number and not self._fits(decimal_of(cast(float, instance)), self._limit):
            raise ValueError(self._text)

    @abstractmethod
    def _fits(self, number: Decimal, limit: Decimal) -> bool:
        """Return whether the keyword accepts a number."""


class Minimum(_Limit):
    """The keyword ``minimum``."""

    text = "{} or more"

    def _fits(self, number: Decimal, limit: Decimal) -> bool:
        return number >= limit


class Maximum(_Limit):
    """The keyword ``maximum``."""

    text = "{} or less"

    def _fits(self, number: Decimal, limit: Decimal) -> bool:
        return number <= limit


class ExclusiveMinimum(_Limit):
    """The keyword ``exclusiveMinimum``."""

    text = "more than {}"

    def _fits(self, number: Decimal, limit: Decimal) -> bool:
        return number > limit


class ExclusiveMaximum(_Limit):
    """The keyword ``exclusiveMaximum``."""

    text = "less than {}"

    def _fits(self, number: Decimal, limit: Decimal) -> bool:
        return number < limit


class MultipleOf(_Limit):
    """The keyword ``multipleOf``."""

    text = "a multiple of {}"

    def __init__(self, parent: Mapping[str, object], value: object, path: list[object]) -> None:
        super().__init__(parent, value, path)
        digits = max(-cast(int, self._limit.as_tuple().exponent), 0)
        self._scale = 10**digits
        self._units = int(self._limit.scaleb(digits, _WIDE))
        self._is_exact = digits <= _EXACT_SCALE

    def validate(self, instance: object) -> None:
        """Raise ValueError if a number is no multiple: for most numbers in a quarter of the time of jsonschema-rs."""
        if type(instance) is int:
            if instance * self._scale % self._units:
                raise ValueError(self._text)
        elif type(instance) is not float:
            super().validate(instance)
        elif self._is_exact and abs(instance) * self._scale < _EXACT:
            # The quotient is the float of a decimal of at most 14 digits, which no other such decimal has.
            number = round(instance * self._scale)
            if number / self._scale != instance or number % self._units:
                raise ValueError(self._text)
        elif not is_multiple(Decimal(repr(instance)), self._limit):
            raise ValueError(self._text)

    def _fits(self, number: Decimal, limit: Decimal) -> bool:
        return is_multiple(number, limit)


def _identity(value: object) -> Hashable:
    """Return a key that is equal for equal values only.

    Large numbers and containers become strings: a peer could choose numbers whose hashes are all equal.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return (value,)
    number = _normalized(value)
    if isinstance(number, int | float):
        return number if abs(number) < EXACT_INTEGER_MAX else (str(number),)
    if isinstance(number, Decimal):
        return (str(number),)
    return ("", dump_text(number))


def _normalized(value: Any) -> Any:  # noqa: ANN401 # any JSON value
    if isinstance(value, float) and value.is_integer():
        return integer_of(value)
    if isinstance(value, Decimal):
        return _WIDE.normalize(value)
    if isinstance(value, list):
        return [_normalized(item) for item in cast(list[object], value)]
    if isinstance(value, dict):
        properties = cast(dict[str, object], value)
        return {name: _normalized(properties[name]) for name in sorted(properties)}
    return value


_EXACT_SCALE: Final = 22  # digits of the largest power of ten that is a float
_EXACT: Final = (
    1e14  # below this, the product of a float and a power of ten rounds to the right integer
)
_WIDE: Final = Context(prec=10_000, Emax=MAX_EMAX, Emin=MIN_EMIN)
_UNIONS: Final = ("anyOf", "oneOf")
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})
_SIZE_MAX: Final = 4_000  # of a value that is explained in full: about the characters of its JSON
_FAULTS_MAX: Final = 200_000  # the same, times the alternatives on its deepest path


def widest_union(schema: object) -> int:
    """Return how many alternatives the widest union of a schema has; 1 if there is none."""
    if isinstance(schema, list):
        return max(map(widest_union, cast(list[object], schema)), default=1)
    most = 1
    if isinstance(schema, dict):
        for name, inner in cast(dict[str, object], schema).items():
            most = max(most, widest_union(inner))
            if name in _UNIONS and isinstance(inner, list):
                most = max(most, len(cast(list[object], inner)))
    return most


def is_cheap(value: object, branches: int) -> bool:
    """Return whether a value can be explained in full, by a schema whose widest union has so many alternatives."""
    size, deepest, rest = 0, 1, [(value, 1)]
    while rest:
        each, depth = rest.pop()
        size += len(each) + 2 if isinstance(each, str) else 4
        size += each.bit_length() // 3 if isinstance(each, int) else 0
        size += len(str(each)) if isinstance(each, Decimal) else 0
        if isinstance(each, dict):
            properties = cast(dict[str, object], each)
            size += sum(map(len, properties))
            rest += [(inner, depth + 1) for inner in properties.values()]
            deepest = max(deepest, depth)
        elif isinstance(each, list):
            items = cast(list[object], each)
            size += len(items)
            if size > _SIZE_MAX:
                return False
            rest += [(inner, depth + 1) for inner in items]
            deepest = max(deepest, depth)
        if size > _SIZE_MAX or size * branches ** min(deepest, 64) > _FAULTS_MAX:
            return False
    return True


def with_hidden_unions(text: str) -> Any:  # noqa: ANN401 # a JSON Schema
    """Return a schema that accepts the same values, and whose errors do not explain the alternatives of unions.

    Args:
        text: The schema, as JSON.

    Returns:
        The schema, or None if it depends on what its unions have evaluated, or has references into them.
    """
    if '"unevaluated' in text or any(f"/{name}/" in text for name in _UNIONS):
        return None
    return _hide_unions(load_text(text))


def _hide_unions(schema: Any) -> Any:  # noqa: ANN401 # as above
    if isinstance(schema, list):
        return [_hide_unions(each) for each in cast(list[object], schema)]
    if not isinstance(schema, dict):
        return schema
    hidden: dict[str, Any] = {
        name: inner if name in _VALUES else _hide_unions(inner)
        for name, inner in cast(dict[str, object], schema).items()
    }
    for name in _UNIONS:
        if isinstance(hidden.get(name), list):
            # jsonschema-rs does not explain why a value fits the schema of "not", which this double negation uses.
            union = {"$comment": _HIDDEN_UNION, "not": {name: hidden.pop(name)}}
            hidden["allOf"] = [*hidden.get("allOf", ()), {"not": union}]
    return hidden


_HIDDEN_UNION: Final = "enkaku: a union whose alternatives are not explained"


def is_hidden_union(negated: Mapping[str, object] | bool) -> bool:  # noqa: FBT001 # a JSON Schema
    """Return whether the schema of a ``not`` that failed is a hidden union, and no ``not`` of the protocol."""
    return not isinstance(negated, bool) and negated.get("$comment") == _HIDDEN_UNION


if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

T_co = TypeVar("T_co", covariant=True)

_KEYWORDS: Final[dict[str, Any]] = {"uniqueItems": UniqueItems}
_FRACTION_KEYWORDS: Final[dict[str, Any]] = {**_KEYWORDS, "multipleOf": MultipleOf}
_FRACTION: Final = re.compile(r'"multipleOf":-?\d+[.eE]')
_DECIMAL_KEYWORDS: Final[dict[str, Any]] = {
    **_KEYWORDS,
    "exclusiveMaximum": ExclusiveMaximum,
    "exclusiveMinimum": ExclusiveMinimum,
    "maximum": Maximum,
    "minimum": Minimum,
    "multipleOf": MultipleOf,
}
_ERRORS_MAX: Final = 100  # errors that are compared, to choose those that are reported


class Checked(Generic[T_co]):
    """A type that accepts more values than the schema of its slot, with the schema, which validates as well.

    It takes the place of the type: ``Request[Point, None]("draw", param=Checked(Point, {...}))``. Generated code
    contains one for each slot whose schema no Python type enforces.

    Args:
        type_form: The type of the values.
        schema: A JSON Schema, by default of draft 2020-12; its ``$schema`` may name another draft. References lead
            only into the schema itself and into ``definitions``. ``format`` is not validated.
        definitions: Definitions that several schemas share: ``#/$defs/NAME`` refers to one.

    Raises:
        MissingExtra: jsonschema-rs is not installed; ``pip install 'enkaku[exact]'`` installs it.
    """

    def __init__(
        self,
        type_form: TypeForm[T_co],
        schema: Mapping[str, object] | bool,  # noqa: FBT001 # true and false are JSON Schemas
        definitions: Mapping[str, object] | None = None,
    ) -> None:
        if not _is_installed():
            raise MissingExtra(
                "Checked: the schema needs a JSON Schema validator at run time, and jsonschema-rs is not installed: "
                "pip install 'enkaku[exact]'"
            )
        self.type_form: Final = type_form
        self.schema: Final = schema
        self.definitions: Final = definitions

    def __repr__(self) -> str:
        return f"Checked({self.type_form!r}, ...)"


@cache
def _is_installed() -> bool:
    return find_spec("jsonschema_rs") is not None


class CompiledSchema:
    """A JSON Schema with its validator, which is compiled at the first use.

    Attributes:
        text: The schema, as JSON.
        surrogates: The lone surrogates in the schema; if there are any, values need placeholders for theirs.
    """

    def __init__(self, label: str, checked: Checked[object]) -> None:
        self._label = label
        document = checked.schema
        if not isinstance(document, bool) and checked.definitions is not None:
            own = cast(Mapping[str, object], document.get("$defs", {}))
            document = {**document, "$defs": {**checked.definitions, **own}}
        self.text: Final = dump_text(document)
        self.surrogates: Final = find_surrogates(self.text)

        self._cache: dict[bool, tuple[str, Any]] = {}

    def _compile(
        self, text: str, *, decimals: bool
    ) -> Any:  # noqa: ANN401 # jsonschema_rs is imported at the first use
        from jsonschema_rs import ValidationError, validator_for  # noqa: PLC0415 # takes 40 ms

        keywords = _FRACTION_KEYWORDS if _FRACTION.search(text) else _KEYWORDS
        try:
            return validator_for(
                cast(Any, as_written(load_text(text))),
                validate_formats=False,
                offline=True,
                keywords=_DECIMAL_KEYWORDS if decimals else keywords,
            )
        except (ValidationError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(f"{self._label}: jsonschema-rs rejects the schema: {reason}") from None

    def _validator(
        self, placeholders: Placeholders | None, *, decimals: bool
    ) -> Any:  # noqa: ANN401 # as above
        text = self.text
        if placeholders is not None and self.surrogates:
            text = replace_chars(text, placeholders)
        cached = self._cache.get(decimals)
        if cached is None or cached[0] != text:
            cached = self._cache[decimals] = text, self._compile(text, decimals=decimals)
        return cached[1]

    def compile(self) -> None:
        """Compile the validator, which the first use would do."""
        self._validator(None, decimals=False)

    def accepts(
        self,
        value: object,
        placeholders: Placeholders | None = None,
        *,
        decimals: bool = False,
    ) -> bool:
        """Return whether the schema accepts a value.

        Args:
            value: The value, as it was read from JSON.
            placeholders: The placeholders for lone surrogates in it.
            decimals: Whether it contains Decimals, with which a slower validator compares numbers.
        """
        if placeholders is None and not decimals:
            accepted: bool = self._is_valid(value)  # as for most values
        else:
            accepted = self._validator(placeholders, decimals=decimals).is_valid(value)
        return accepted

    @cached_property
    def _is_valid(self) -> Callable[[object], bool]:
        return cast(Callable[[object], bool], self._validator(None, decimals=False).is_valid)

    def errors(
        self,
        value: object,
        placeholders: Placeholders | None = None,
        *,
        decimals: bool = False,
    ) -> "list[ValidationError]":
        """Return why the schema rejects a value: all errors, or for a large value the first, or none."""
        if is_cheap(value, self._widest_union):
            validator = self._validator(placeholders, decimals=decimals)
            found: Iterator[ValidationError] = validator.iter_errors(value)
            return list(islice(found, _ERRORS_MAX))
        return [] if self._brief is None else _first_error(self._brief, value)

    @cached_property
    def _widest_union(self) -> int:
        return widest_union(load_text(self.text))

    @cached_property
    def _brief(self) -> Any:  # noqa: ANN401 # as above
        """The validator whose errors do not explain unions, or None if there is none."""
        schema = None if self.surrogates else with_hidden_unions(self.text)
        return None if schema is None else self._compile(dump_text(schema), decimals=True)


def _first_error(validator: "Validator", value: object) -> "list[ValidationError]":
    from jsonschema_rs import ValidationError  # noqa: PLC0415 # as above

    try:
        validator.validate(value)
    except ValidationError as error:
        # Its traceback would refer to the frame that gets the list: a cycle, which keeps the value until a collection.
        return [error.with_traceback(None)]
    return []
