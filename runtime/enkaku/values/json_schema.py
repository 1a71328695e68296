"""``Checked``: a type that accepts more than its schema, and the JSON Schema validator that is asked as well."""

import json
from collections.abc import Hashable, Iterator, Mapping
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from typing_extensions import TypeForm

from enkaku.errors import MissingExtra, UsageError

from .numbers import whole_of
from .surrogates import StandIns, find_surrogates

__all__ = ["Checked", "Rules", "UniqueItems", "is_cheap", "quieten", "widest_union"]

_SMALL: Final = 2**53  # whole numbers below it are told apart by their hashes


class UniqueItems:
    """The keyword ``uniqueItems``, as jsonschema-rs wants its keywords."""

    def __init__(self, parent: Mapping[str, object], value: object, path: list[object]) -> None:
        del parent, path
        self._wanted = value is True

    def validate(self, instance: object) -> None:
        """Raise ValueError if an array holds an item twice."""
        if self._wanted and isinstance(instance, list):
            items = cast(list[object], instance)
            if len({_identity(item) for item in items}) < len(items):
                raise ValueError("an item is there twice")


def _identity(value: object) -> Hashable:
    """Return what equal values have in common, and others have not.

    Long numbers and containers become text: a peer could choose numbers whose hashes are all the same.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return (value,)
    if isinstance(value, int | float):
        number = _plain(value)
        return number if -_SMALL < number < _SMALL else (str(number),)
    return ("", json.dumps(_plain(value), sort_keys=True))


def _plain(value: Any) -> Any:  # noqa: ANN401 # any JSON value
    if isinstance(value, float) and value.is_integer():
        return whole_of(value)
    if isinstance(value, list):
        return [_plain(item) for item in cast(list[object], value)]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in cast(dict[str, object], value).items()}
    return value


_UNIONS: Final = ("anyOf", "oneOf")
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})
_SIZE_MAX: Final = 4_000  # of a value that is explained in full: about the characters of its text
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
    """Return whether a value can be explained in full, by a schema whose unions have so many alternatives."""
    size, deepest, rest = 0, 1, [(value, 1)]
    while rest:
        each, depth = rest.pop()
        size += len(each) + 2 if isinstance(each, str) else 4
        size += each.bit_length() // 3 if isinstance(each, int) else 0
        if isinstance(each, dict):
            members = cast(dict[str, object], each)
            size += sum(map(len, members))
            rest += [(inner, depth + 1) for inner in members.values()]
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


def quieten(text: str) -> Any:  # noqa: ANN401 # a JSON Schema
    """Return a schema that accepts the same, and says of a union no more than that none of it fits.

    Args:
        text: The schema's text.

    Returns:
        The schema, or None where it counts what its unions have looked at, or points into them.
    """
    if '"unevaluated' in text or any(f"/{name}/" in text for name in _UNIONS):
        return None
    return _quiet(json.loads(text))


def _quiet(schema: Any) -> Any:  # noqa: ANN401 # as above
    if isinstance(schema, list):
        return [_quiet(each) for each in cast(list[object], schema)]
    if not isinstance(schema, dict):
        return schema
    told: dict[str, Any] = {
        name: inner if name in _VALUES else _quiet(inner)
        for name, inner in cast(dict[str, object], schema).items()
    }
    for name in _UNIONS:
        if isinstance(told.get(name), list):
            # Why something is what it must not be, nobody can say: so nobody tries.
            hidden = {"not": {"not": {name: told.pop(name)}}}
            told["allOf"] = [*told.get("allOf", ()), hidden]
    return told


if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

T_co = TypeVar("T_co", covariant=True)

_KEYWORDS: Final[dict[str, Any]] = {"uniqueItems": UniqueItems}
_TOLD: Final = 100  # errors that are looked at, to choose those that are told


class Checked(Generic[T_co]):
    """A type that accepts more than the schema of its slot, and the schema, which is asked as well.

    It stands in place of the type: ``Request[Point, None]("draw", param=Checked(Point, {...}))``. Generated
    code says so where no Python type is as narrow as the schema.

    Args:
        type_form: The type of the values.
        schema: A JSON Schema: of draft 2020-12, unless its ``$schema`` names another. It refers to nothing
            outside of itself and of ``definitions``. ``format`` is not checked.
        definitions: What stands beside it as ``$defs``, for several schemas: ``#/$defs/NAME`` names it.

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
                "A schema here says more than a Python type can, and what checks it is not installed: "
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


class Rules:
    """A schema, ready to be asked.

    Attributes:
        surrogates: The lone surrogates in the schema's own text; where there are any, stand-ins are needed.
    """

    def __init__(self, label: str, checked: Checked[object]) -> None:
        self._label = label
        document = checked.schema
        if not isinstance(document, bool) and checked.definitions is not None:
            own = cast(Mapping[str, object], document.get("$defs", {}))
            document = {**document, "$defs": {**checked.definitions, **own}}
        self.text: Final = json.dumps(document, ensure_ascii=False, default=dict)
        self.surrogates: Final = find_surrogates(self.text)

        self._compiled: tuple[str, Any] | None = None

    def _compile(self, text: str) -> Any:  # noqa: ANN401 # jsonschema_rs is loaded late
        from jsonschema_rs import ValidationError, validator_for  # noqa: PLC0415 # takes 40 ms

        try:
            return validator_for(
                json.loads(text),
                validate_formats=False,
                offline=True,
                keywords=_KEYWORDS,
            )
        except (ValidationError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(f"{self._label}: its schema cannot be used: {reason}") from None

    def _validator(self, there: StandIns | None) -> Any:  # noqa: ANN401 # as above
        text = self.text.translate(there) if there is not None and self.surrogates else self.text
        if self._compiled is None or self._compiled[0] != text:
            self._compiled = text, self._compile(text)
        return self._compiled[1]

    def accept(self, tree: object, there: StandIns | None = None) -> bool:
        """Return whether the schema accepts a value.

        Args:
            tree: The value, as it was read from JSON.
            there: What stands in for lone surrogates in it.
        """
        accepted: bool = self._validator(there).is_valid(tree)
        return accepted

    def errors(self, tree: object, there: StandIns | None = None) -> "list[ValidationError]":
        """Return why the schema refuses a value: everything, or what there is time for."""
        if is_cheap(tree, self._widest_union):
            found: Iterator[ValidationError] = self._validator(there).iter_errors(tree)
            return list(islice(found, _TOLD))
        return [] if self._quiet is None else _first_error(self._quiet, tree)

    @cached_property
    def _widest_union(self) -> int:
        return widest_union(json.loads(self.text))

    @cached_property
    def _quiet(self) -> Any:  # noqa: ANN401 # as above
        schema = None if self.surrogates else quieten(self.text)
        return None if schema is None else self._compile(json.dumps(schema))


def _first_error(validator: "Validator", tree: object) -> "list[ValidationError]":
    from jsonschema_rs import ValidationError  # noqa: PLC0415 # as above

    try:
        validator.validate(tree)
    except ValidationError as error:
        return [error]
    return []
