"""Types that are wider than their schema, and the schema that is asked as well.

Above it: slots, and the errors that a protocol declares. Below it: jsonschema-rs, which is installed by an extra
and loaded at the first use.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from typing_extensions import TypeForm

from .errors import MissingExtra, UsageError
from .quiet import is_cheap, quieten, widest_union
from .surrogates import StandIns, find_surrogates
from .unique import UniqueItems

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

__all__ = ["Checked", "Rules"]

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
