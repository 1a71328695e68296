"""Memoized validation: a part of a value is validated once with each type, however many alternatives contain it.

The schema is cut at the definitions and unions from which a union of several objects or arrays can be reached. Each piece
has a validator of its own. A value is cut at the same places: the parts there are validated first, and the piece around them
gets their numbers instead, for which its validator looks up the results. So the time grows with the size of the value, and
not with the number of ways to choose alternatives. Python code does the cutting, so most values are read without it.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    SchemaValidator,
    core_schema,
    from_json,
    to_json,
)

from .exact import reject_null
from .problems import Choice, Fault, Path, choose_alternatives
from .pydantic_internals import (
    NEVER_NULL,
    OPAQUE_KEYS,
    Schema,
    choices_of,
    definitions_of,
    extra_of,
    unshared_validator,
)
from .pydantic_problems import faults_of
from .unions import Alternatives, Routed, TooManyAttempts, costly

__all__ = ["MemoizedValidator"]

_STEPS: Final = 3_000  # that a value may take, of about 8 us each
_STEPS_OF_LARGE: Final = (
    800  # the same for a large value, with which pydantic has spent more time before
)
_LESS: Final = 6  # bytes of a value, for each step less
_STEP: Final = 500  # bytes that are read in one step
_COMPARED: Final = 16  # alternatives that are compared with an object in one step
_EXPLAINED: Final = 8  # unions without a matching alternative that are explained in full
_REJECTED: Final = 1_000  # parts that are explained
_FAULTS: Final = 5  # of one part that are reported


class MemoizedValidator:
    """Validates values of a type in time that is linear in their size.

    Args:
        root: The schema of the type.
        routed: The same schema, whose unions try few alternatives.
    """

    def __init__(self, root: Schema, routed: Routed) -> None:
        self._pieces: Final = _Pieces(root, routed)
        self._attempts: Final = routed.attempts
        self._root: Final = self._pieces.of(definitions_of(root)[0])

    def validate_json(self, data: bytes, **settings: bool) -> object:
        """Read a value from valid JSON.

        Raises:
            ValidationError: The type rejects the value.
            TooManyAttempts: The value has more parts than may be told apart.
        """
        costly.reads += 1
        run = _Run(settings, len(data))
        value = from_json(data)
        self._attempts.begin(len(data))
        results = self._pieces.results
        before = results.by_number
        results.by_number = run.results
        try:
            root = run.validate(value, self._root)
        finally:
            results.by_number = before
        if root.is_rejected:
            faults = [_detail(each) for each in run.explain(root)]
            raise ValidationError.from_exception_data("value", faults)
        return run.results[root.number]


def _detail(fault: Fault) -> InitErrorDetails:
    error = PydanticCustomError("expected", "{expected}", {"expected": fault.expected})
    return InitErrorDetails(type=error, loc=fault.path, input=None)


class _Results(threading.local):
    """The results of the parts of the value that this thread reads."""

    def __init__(self) -> None:
        self.by_number: list[object] = []


class _Part:
    """A part of a value, with the piece of the schema that validates it.

    Attributes:
        parent: The part that it was found in first; None for the whole value.
        steps: Its location there.
        number: The index of its result.
        parts: Its own parts; None until it was cut.
        done: How many of them were validated.
        rest: Its value, with the numbers of its parts in their places.
        properties: How many properties known to classes it has.
        is_rejected: None until it was validated.
        error: pydantic's error about the rest.
        faults: Why it was rejected, once that was explained.
    """

    __slots__ = (
        "done", "error", "faults", "is_rejected", "number", "parent", "parts", "piece", "properties", "rest", "steps", "value"
    )  # fmt: skip

    def __init__(
        self, value: object, piece: "_Piece", number: int, parent: "_Part | None", steps: Path
    ) -> None:
        self.value: Final = value
        self.piece: Final = piece
        self.number: Final = number
        self.parts: list[_Part] | None = None
        self.done = 0
        self.rest: object = None
        self.properties = 0
        self.is_rejected: bool | None = None
        self.error: ValidationError | None = None
        self.faults: list[Fault] = []
        self.parent: Final = parent
        self.steps: Final = steps

    @property
    def path(self) -> Path:
        """Its location in the value."""
        steps, part = self.steps, self.parent
        while part is not None:
            steps, part = (*part.steps, *steps), part.parent
        return steps


class _Run:
    """Validates one value.

    Args:
        settings: See below.
        size: The bytes of the value.

    Raises:
        TooManyAttempts: The value is too large.

    Attributes:
        settings: The settings of pydantic's validators.
        results: What was read, by the numbers of the parts.
        explained: How many unions without a matching alternative may still be explained in full.
    """

    def __init__(self, settings: Mapping[str, bool], size: int) -> None:
        self.settings: Final[Any] = settings
        self.results: Final[list[object]] = []
        self.explained = _EXPLAINED
        self._steps = max(_STEPS - size // _LESS, _STEPS_OF_LARGE)
        self._known: Final[dict[tuple[int, int], _Part]] = {}
        self._rejected: Final[list[_Part]] = []
        self.spend(size // _STEP)

    def spend(self, steps: int) -> None:
        """Take steps from the budget.

        Raises:
            TooManyAttempts: So many are not left.
        """
        self._steps -= steps
        if self._steps < 0:
            raise TooManyAttempts

    def part(self, value: object, piece: "_Piece", parent: _Part | None, steps: Path) -> _Part:
        """Return a part of the value: the same for the same place and piece."""
        key = id(value), id(piece)
        if key not in self._known:
            only = piece.only(value)
            part = (
                self._make(value, piece, parent, steps)
                if only is None
                else self.part(value, only, parent, steps)
            )
            if not isinstance(value, dict | list):  # several places may have the same scalar
                return part
            self._known[key] = part
        return self._known[key]

    def _make(self, value: object, piece: "_Piece", parent: _Part | None, steps: Path) -> _Part:
        self.spend(1)
        part = _Part(value, piece, len(self.results), parent, steps)
        self.results.append(None)
        return part

    def validate(self, value: object, piece: "_Piece") -> _Part:
        """Validate a value, the innermost parts first."""
        root = self.part(value, piece, None, ())
        waiting = [root]
        while waiting:
            part = waiting[-1]
            if part.parts is None:
                part.parts = []
                part.piece.cut(part, self)
            if part.done < len(part.parts):
                inner = part.parts[part.done]
                if inner.is_rejected is None:
                    waiting.append(inner)
                elif inner.is_rejected and part.piece.needs_all:
                    part.done = len(part.parts)
                else:
                    part.done += 1
                continue
            waiting.pop()
            part.is_rejected = not part.piece.read(part, self)
            if part.is_rejected:
                self._rejected.append(part)
        return root

    def explain(self, root: _Part) -> list[Fault]:
        """Return why the value was rejected; little, if it has many parts."""
        if len(self._rejected) > _REJECTED:
            return [Fault((), "value that fits one of the alternatives")]
        for part in self._rejected:
            part.faults = choose_alternatives(part.piece.explain(part))[:_FAULTS]
        return root.faults


class _Piece(ABC):
    """A schema between two cuts.

    Attributes:
        needs_all: Whether a part is rejected as soon as one of its own parts is.
    """

    needs_all: bool

    @abstractmethod
    def only(self, value: object) -> "_Piece | None":
        """Return the only piece that may accept a value instead of this one, if there is one."""

    @abstractmethod
    def cut(self, part: _Part, run: _Run) -> None:
        """Find the parts of a part."""

    @abstractmethod
    def read(self, part: _Part, run: _Run) -> bool:
        """Read a part whose own parts were validated, and return whether it was accepted."""

    @abstractmethod
    def explain(self, part: _Part) -> list[Fault | Choice]:
        """Return why a part was rejected; its own parts were explained before."""


_Add = Callable[[object, _Piece, Path], int]
"""Adds a part, by its value, its piece and the steps to it; returns its number."""

_Cut = Callable[[object, _Add, Path], object]
"""Returns a value with numbers for its parts, which it adds."""


class _Body(_Piece):
    """A piece that pydantic validates."""

    needs_all = True

    def __init__(self, make: Callable[[], tuple[SchemaValidator, _Cut | None]]) -> None:
        self._make: Final = make

    @cached_property
    def _made(self) -> tuple[SchemaValidator, _Cut | None]:
        return self._make()

    def only(self, value: object) -> _Piece | None:
        del value
        return None

    def cut(self, part: _Part, run: _Run) -> None:
        cut = self._made[1]
        if cut is None:
            part.rest = part.value
            return
        parts = part.parts = list[_Part]()

        def add(value: object, piece: _Piece, steps: Path) -> int:
            inner = run.part(value, piece, part, steps)
            parts.append(inner)
            return inner.number

        part.rest = cut(part.value, add, ())

    def read(self, part: _Part, run: _Run) -> bool:
        parts = part.parts or ()
        if any(each.is_rejected for each in parts):
            return False
        data = to_json(part.rest, inf_nan_mode="constants")
        run.spend(len(data) // _STEP)
        try:
            result = self._made[0].validate_json(data, **run.settings)
        except ValidationError as error:
            part.error = error
            return False
        run.results[part.number] = result
        part.properties = sum(each.properties for each in parts)
        if isinstance(result, BaseModel) and isinstance(part.rest, dict):
            part.properties += len(result.model_fields_set) - len(extra_of(result))
        return True

    def explain(self, part: _Part) -> list[Fault | Choice]:
        if part.error is None:
            return [fault for each in part.parts or () for fault in each.faults]
        path = part.path
        faults = choose_alternatives(faults_of(part.error, part.rest))
        return [replace(each, path=(*path, *each.path)) for each in faults]


class _Union(_Piece):
    """A piece whose alternatives are pieces.

    Attributes:
        choices: The schemas of the alternatives.
    """

    needs_all = False

    def __init__(self, choices: Sequence[Schema], pieces: "_Pieces") -> None:
        self.choices: Final = choices
        self._pieces: Final = pieces

    @cached_property
    def _alternatives(self) -> Alternatives:
        return self._pieces.alternatives(self.choices)

    def only(self, value: object) -> _Piece | None:
        chosen, _ = self._alternatives.likely(value)
        return self._pieces.of(self.choices[chosen[0]]) if len(chosen) == 1 else None

    def cut(self, part: _Part, run: _Run) -> None:
        chosen, compared = self._alternatives.likely(part.value)
        if not chosen:
            run.explained -= 1
            chosen = self._alternatives.of_type(part.value)
            if run.explained < 0:
                chosen = chosen[:1]
        run.spend(compared // _COMPARED)
        part.parts = [
            run.part(part.value, self._pieces.of(self.choices[each]), part, ()) for each in chosen
        ]

    def read(self, part: _Part, run: _Run) -> bool:
        accepted = [each for each in part.parts or () if not each.is_rejected]
        if not accepted:
            return False
        # As pydantic does: the alternative that knows most properties, or the first of these.
        best = max(accepted, key=lambda each: each.properties)
        run.results[part.number] = run.results[best.number]
        part.properties = best.properties
        return True

    def explain(self, part: _Part) -> list[Fault | Choice]:
        return [Choice(part.path, [each.faults for each in part.parts or ()])]


class _Pieces:
    """The pieces of a type, which are made when they are needed.

    Attributes:
        results: The results that validators look up.
        alternatives: Returns what the choices of a union may accept.
    """

    def __init__(self, root: Schema, routed: Routed) -> None:
        self.results: Final = _Results()
        self.alternatives: Final = routed.router.alternatives
        self._routed: Final = routed
        _, self._definitions = definitions_of(root)
        self._pieces: Final[dict[int, _Piece]] = {}
        self._unions: Final[dict[tuple[str, ...], list[_Union]]] = {}
        self._names: Final = _names_that_reach(routed.router.ambiguous, self._definitions)
        self._token: Final = core_schema.no_info_plain_validator_function(
            lambda number: self.results.by_number[number]
        )

    def of(self, schema: Schema) -> _Piece:
        """Return the piece that begins with a schema."""
        if schema["type"] == "definition-ref":
            schema = self._definitions[schema["schema_ref"]]
        if id(schema) not in self._pieces:
            self._pieces.setdefault(id(schema), self._make(schema))
        return self._pieces[id(schema)]

    def _make(self, schema: Schema) -> _Piece:
        if schema["type"] == "definition-ref":
            return self.of(schema)
        if schema["type"] in _UNIONS and self._is_cut(schema):
            return self._union(schema)
        return _Body(lambda: self._body(schema))

    def _union(self, schema: Schema) -> _Piece:
        """Return the piece of a union: the same for equal unions, such as those of one property in several classes."""
        similar = self._unions.setdefault(tuple(_names_in(schema)), [])
        choices = [self._bare(each) for each in choices_of(schema)]
        for each in similar:
            if each.choices == choices:
                return each
        similar.append(_Union(choices, self))
        return similar[-1]

    def _bare(self, schema: Schema) -> Schema:
        """Return a choice without the check that its value is not null, if it is a class, which rejects null."""
        if schema["type"] == "function-after" and schema["function"]["function"] is reject_null:
            inner: Schema = schema["schema"]
            real = self._definitions.get(inner.get("schema_ref", ""), inner)
            return inner if real["type"] in NEVER_NULL else schema
        return schema

    def _is_cut(self, schema: object) -> bool:
        """Return whether an ambiguous union can be reached from a schema."""
        return any(
            id(each) in self._routed.router.ambiguous or each.get("schema_ref") in self._names
            for each in _schemas_in(schema, _NOT_OF_JSON)
        )

    def _body(self, schema: Schema) -> tuple[SchemaValidator, _Cut | None]:
        if not self._is_cut(schema):
            return self._validator(schema, self._definitions), None
        hollow = self._hollow(schema)
        if hollow is None:
            copy = self._routed.router.copy(schema)
            return self._validator(copy, self._routed.definitions), None
        return self._validator(hollow[0], self._definitions), hollow[1]

    def _validator(self, schema: Schema, definitions: Mapping[str, Schema]) -> SchemaValidator:
        schema = {key: each for key, each in schema.items() if key != "ref"}
        needed = dict[str, Schema]()
        waiting = [*_names_in(schema)]
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed[name] = definitions[name]
                waiting += _names_in(definitions[name])
        if needed:
            schema = {"type": "definitions", "schema": schema, "definitions": [*needed.values()]}
        return unshared_validator(cast(CoreSchema, schema))

    def _inner(self, schema: Schema) -> tuple[Schema, _Cut] | None:
        """Return what replaces a schema inside of a piece, and what cuts its values; None if it stays."""
        return (self._hollow(schema) or self._piece(schema)) if self._is_cut(schema) else None

    def _piece(self, schema: Schema) -> tuple[Schema, _Cut]:
        piece = self.of(schema)
        return cast(Schema, self._token), lambda value, add, steps: add(value, piece, steps)

    def _hollow(self, schema: Schema) -> tuple[Schema, _Cut] | None:
        """Return a schema for values whose parts are numbers, and what cuts these; None if it must stay whole."""
        kind = schema["type"]
        if kind in _CUT:
            return self._piece(schema)
        if kind in _REPLACED:
            return self._hollow(schema[_REPLACED[kind]])
        if kind in _WRAPPERS and not schema.get("custom_init"):
            inner = self._hollow(schema["schema"])
            if inner is None and kind in _OPTIONAL:
                inner = self._piece(schema["schema"])
            cut = inner and (_cut_not_null(inner[1]) if kind == "nullable" else inner[1])
            return inner and cut and ({**schema, "schema": inner[0]}, cut)
        if kind in _ARRAYS:
            inner = self._inner(schema["items_schema"])
            return inner and ({**schema, "items_schema": inner[0]}, _cut_items(inner[1]))
        if kind == "dict" and not self._is_cut(schema.get("keys_schema")):
            inner = self._inner(schema["values_schema"])
            return inner and ({**schema, "values_schema": inner[0]}, _cut_fields({}, inner[1]))
        if kind == "tuple":
            return self._hollow_tuple(schema)
        return self._hollow_fields(schema) if kind in _OBJECTS else None

    def _hollow_tuple(self, schema: Schema) -> tuple[Schema, _Cut] | None:
        items: list[Schema] = schema["items_schema"]
        if schema.get("variadic_item_index", len(items) - 1) != len(items) - 1:
            return None
        inner = [self._inner(each) for each in items]
        made = [each if cut is None else cut[0] for each, cut in zip(items, inner, strict=True)]
        return {**schema, "items_schema": made}, _cut_tuple([each and each[1] for each in inner])

    def _hollow_fields(self, schema: Schema) -> tuple[Schema, _Cut] | None:
        made, cuts = dict[str, Schema](), dict[str, _Cut | None]()
        for name, field in schema["fields"].items():
            alias = field.get("validation_alias", name)
            if not isinstance(alias, str):
                return None
            inner = self._inner(field["schema"])
            made[name] = field if inner is None else {**field, "schema": inner[0]}
            cuts[alias] = inner and inner[1]
        schema = {**schema, "fields": made}
        extras = self._inner(schema["extras_schema"]) if "extras_schema" in schema else None
        if extras is not None:
            schema["extras_schema"] = extras[0]
        return schema, _cut_fields(cuts, extras and extras[1])


_NOT_OF_JSON: Final = OPAQUE_KEYS | {"lax_schema", "python_schema"}
_REPLACED: Final = {"json-or-python": "json_schema", "lax-or-strict": "strict_schema"}
_WRAPPERS: Final = frozenset({"default", "function-after", "model", "nullable"})
_OPTIONAL: Final = frozenset({"default", "nullable"})
_ARRAYS: Final = frozenset({"frozenset", "list", "set"})
_OBJECTS: Final = frozenset({"model-fields", "typed-dict"})
_UNIONS: Final = frozenset({"tagged-union", "union"})
_CUT: Final = frozenset({"definition-ref", *_UNIONS})


def _cut_not_null(cut: _Cut) -> _Cut:
    return lambda value, add, steps: None if value is None else cut(value, add, steps)


def _cut_items(cut: _Cut) -> _Cut:
    def cut_items(value: object, add: _Add, steps: Path) -> object:
        if not isinstance(value, list):
            return value
        items = cast(list[object], value)
        return [cut(each, add, (*steps, index)) for index, each in enumerate(items)]

    return cut_items


def _cut_tuple(cuts: Sequence[_Cut | None]) -> _Cut:
    def cut_tuple(value: object, add: _Add, steps: Path) -> object:
        if not isinstance(value, list):
            return value
        items = list[object]()
        for index, each in enumerate(cast(list[object], value)):
            cut = cuts[min(index, len(cuts) - 1)]
            items.append(each if cut is None else cut(each, add, (*steps, index)))
        return items

    return cut_tuple


def _cut_fields(cuts: Mapping[str, _Cut | None], extras: _Cut | None) -> _Cut:
    def cut_fields(value: object, add: _Add, steps: Path) -> object:
        if not isinstance(value, dict):
            return value
        made = dict(cast(dict[str, object], value))
        for name, each in made.items():
            cut = cuts.get(name, extras)
            if cut is not None:
                made[name] = cut(each, add, (*steps, name))
        return made

    return cut_fields


def _schemas_in(part: object, but: AbstractSet[str]) -> Iterator[Schema]:
    """Yield the schemas in a part of a schema, except for those under some keys."""
    waiting = [part]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list | tuple):
            waiting += cast(Sequence[object], each)
        elif isinstance(each, dict):
            parts = cast(Schema, each)
            yield parts
            waiting += (inner for name, inner in parts.items() if name not in but)


def _names_in(schema: Schema, but: AbstractSet[str] = OPAQUE_KEYS) -> list[str]:
    """Return the names of the definitions that a schema refers to."""
    found = (each.get("schema_ref") for each in _schemas_in(schema, but))
    return [each for each in found if isinstance(each, str)]


def _names_that_reach(ambiguous: Collection[int], definitions: Mapping[str, Schema]) -> set[str]:
    """Return the names of the definitions from which an ambiguous union can be reached."""
    users: dict[str, list[str]] = {name: [] for name in definitions}
    waiting: list[str] = []
    for name, schema in definitions.items():
        for each in _names_in(schema, _NOT_OF_JSON):
            users[each].append(name)
        if any(id(each) in ambiguous for each in _schemas_in(schema, _NOT_OF_JSON)):
            waiting.append(name)
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += users[name]
    return found
