"""Slots: the codec of one part of a procedure, from encoded JSON to a value of a Python type and back.

Values are validated in both directions.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from typing import Annotated, Any, Final, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema, from_json
from typing_extensions import TypeForm

from enkaku._json import DEPTH_MAX, dump_json, dump_text, load_json
from enkaku.errors import DecodeError, EncodeError, Problem

from .any_json import Foreign, find_foreign
from .deep_types import build
from .encoder import plain_writer
from .exact import Exact
from .json_schema import Checked, Rules
from .jsonschema_problems import from_schema
from .numbers import read_tree
from .problems import problem
from .pydantic_internals import REPLACEMENT, Codec, codec_of
from .pydantic_problems import from_pydantic, is_invalid_json
from .surrogates import StandIns, replace, restore, rewrite, stand_in
from .unions import Attempts, TooManyAttempts, route

__all__ = ["Slot"]

T = TypeVar("T")

_MINUS: Final = ord("-")  # a byte is looked for faster than bytes
_MINUS_ZERO: Final = re.compile(rb"-0\.0(?=[],}]|$)")  # the original writes 0; a text may hold it
_FALSY: Final = (b"null", b"false", b"0", b'""')
_AMBIGUOUS: Final = Problem("", "a value whose alternatives can be told apart in time", "another")
_NESTED: Final = Problem(
    "", f"at most {DEPTH_MAX} levels of arrays and objects, none of which holds itself", "more"
)
_UNMADE: Final = Problem("", "objects that their classes made, where objects are due", "another")


class Slot(Generic[T]):
    """What one slot of a procedure carries: a Python type and its JSON form.

    A value is read, or written, if and only if the slot's JSON Schema accepts it; what was read is written as
    the same JSON value.

    Args:
        label: Procedure and slot, such as ``"math/divide param"``, for error messages.
        type_form: The type of the values: a model, or any annotation that pydantic understands; ``Checked`` where
            the schema is narrower than any type.
        declared: Whether the protocol declares the slot. Nothing crosses the wire for one that it does not: its
            only value is None.
    """

    def __init__(
        self, label: str, type_form: TypeForm[T] | Checked[T], *, declared: bool = True
    ) -> None:
        given: object = type_form
        checked = cast("Checked[T]", given) if isinstance(given, Checked) else None
        self.label: Final = label
        self.type_form: Final = cast("TypeForm[T]", checked.type_form if checked else type_form)
        self.declared: Final = declared
        self._checked: Final = checked
        self._rules: Final = Rules(label, checked) if checked else None

    def __repr__(self) -> str:
        return f"Slot({self.label!r}, {self.type_form!r})"

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        # A copy makes its own functions: those that were compiled cannot be pickled.
        form = self._checked or self.type_form
        return partial(Slot, self.label, form, declared=self.declared), ()

    @property
    def schema(self) -> Mapping[str, object] | bool | None:
        """The JSON Schema that values are checked with, or None where the type alone is exact."""
        return None if self._checked is None else self._checked.schema

    @cached_property
    def _codec(self) -> Codec:
        # Built at the first use: most programs use few of a protocol's procedures.
        return build(self.label, self._make_codec)

    def _make_codec(self) -> Codec:
        form: object = self.type_form
        if isinstance(form, type) and issubclass(form, BaseModel):
            form.model_rebuild()  # a model is exact, and has its own settings, once it is complete
            return codec_of(form)
        exact = cast(type[object], Annotated[form, Exact()])
        try:
            adapter = TypeAdapter(exact, config=ConfigDict(ser_json_inf_nan="constants"))
        except PydanticUserError:
            adapter = TypeAdapter(exact)  # a TypedDict or dataclass, which brings its own settings
        adapter.rebuild(raise_errors=True)
        validator = cast(SchemaValidator, adapter.validator)
        return adapter.core_schema, validator, adapter.serializer

    @cached_property
    def _routed(self) -> tuple[SchemaValidator, Attempts] | None:
        schema, attempts = self._codec[0], Attempts()
        routed = build(self.label, lambda: route(schema, attempts))
        return None if routed is None else (routed, attempts)

    @cached_property
    def _read(self) -> Callable[..., T]:
        if self._routed is None:
            return self._codec[1].validate_json
        routed, attempts = self._routed

        def read(data: bytes, **settings: bool) -> T:
            attempts.begin(len(data))
            try:
                return cast(T, routed.validate_json(data, **cast(Any, settings)))
            except TooManyAttempts:
                raise DecodeError(self.label, (_AMBIGUOUS,)) from None

        return read

    @cached_property
    def _check(self) -> Callable[..., T]:
        form: object = self.type_form
        if isinstance(form, type) and issubclass(form, BaseModel):
            # pydantic would take a dict for a model, with names that are not those of the wire.
            return SchemaValidator(core_schema.is_instance_schema(form)).validate_python
        return self._codec[1].validate_python

    @cached_property
    def decode(self) -> Callable[[bytes], T]:
        """Read a value from its JSON text: a function, which is made at the first use.

        Raises:
            DecodeError: The text is not JSON, or the schema refuses the value.
            UsageError: The type is nested too deep to be built, which happens at the first use.
        """
        if self._rules is not None:
            return self._decode_checked
        read, unusual = self._read, self._decode_unusual

        def decode(data: bytes) -> T:
            try:
                return read(data, strict=True, by_alias=True, by_name=False)
            except ValidationError as error:
                return unusual(data, error)

        return decode

    def _decode_checked(self, data: bytes) -> T:
        """Read a value whose schema says more than its type."""
        try:
            value = self._read(data, strict=True, by_alias=True, by_name=False)
        except ValidationError as error:
            return self._decode_unusual(data, error)
        if self._rules is not None and self._rules.surrogates:
            return self._decode_slowly(load_json(data))
        self._require_accepted(read_tree(data), None)
        return value

    def _require_accepted(self, tree: object, there: StandIns | None) -> None:
        if self._rules is not None and not self._rules.accept(tree, there):
            raise DecodeError(self.label, from_schema(self._rules.errors(tree, there), tree))

    def _decode_unusual(self, data: bytes, refusal: ValidationError) -> T:
        if not is_invalid_json(refusal):
            raise DecodeError(self.label, from_pydantic(refusal, from_json(data))) from None
        tree: object = None
        # The reader refuses lone surrogates, which JSON allows as escapes.
        if rb"\u" in data:
            with suppress(ValueError, RecursionError):
                tree = load_json(data)
                return self._decode_slowly(tree)
        raise DecodeError(self.label, from_pydantic(refusal, tree)) from None

    def _decode_slowly(self, tree: object) -> T:
        """Read a value with characters that stand in for lone surrogates.

        Raises:
            DecodeError: The schema refuses the value.
            ValueError: It is none of JSON's.
        """
        text = dump_text(tree)
        there, back = replace(text, "" if self._rules is None else self._rules.text)
        data = text.translate(there).encode()
        try:
            value = self._read(data, strict=True, by_alias=True, by_name=False)
            self._require_accepted(read_tree(data), there)
        except ValidationError as error:
            refusal = DecodeError(self.label, from_pydantic(error, from_json(data)))
        except DecodeError as error:
            refusal = error
        else:
            return rewrite(value, lambda text: text.translate(back))
        raise DecodeError(self.label, restore(refusal.problems, back), more=refusal.more)

    @cached_property
    def encode(self) -> Callable[[T], bytes]:
        """Write a value as compact JSON, in UTF-8: a function, which is made at the first use.

        Raises:
            EncodeError: The schema refuses the value, or JSON cannot express it.
        """
        if self._routed is not None:
            return self._encode  # what is plain may have too many alternatives all the same
        if self._rules is None:
            return build(self.label, lambda: plain_writer(self._codec[0], self._encode))
        return self._encode if self._rules.surrogates else self._encode_checked(self._rules)

    def _encode_checked(self, rules: Rules) -> Callable[[T], bytes]:
        """Return what writes values whose schema says more than their type."""

        def leave(_: T) -> bytes:
            return b""

        write = build(self.label, lambda: plain_writer(self._codec[0], leave))

        def encode(value: T) -> bytes:
            text = write(value)
            return text if text and rules.accept(read_tree(text)) else self._encode(value)

        return encode

    def _encode(self, value: T) -> bytes:
        try:
            text = self._dump(value)
            if REPLACEMENT[0] in text and REPLACEMENT in text:
                text = self._dump_slowly(value)
        except ValueError:
            text = self._dump_slowly(value)
        try:
            # What was written is read as its reader will do it: so it is exact whatever the value is made of.
            self.decode(text)
        except DecodeError as error:
            raise EncodeError(self.label, error.problems, more=error.more) from None
        return text

    def _dump(self, value: T) -> bytes:
        self._check(value, strict=True, by_alias=False, by_name=True)
        text = self._codec[2].to_json(value, by_alias=True, exclude_unset=True, warnings=False)
        if _MINUS in text and _MINUS_ZERO.search(text) is not None:
            return dump_json(load_json(text))
        return text

    def _dump_slowly(self, value: T) -> bytes:
        """Write what the fast writer refuses: lone surrogates; or say what is no JSON, and where."""
        texts = [] if self._rules is None else [self._rules.text]
        back: StandIns = {}
        try:
            value, back = stand_in(value, *texts)
            text = self._dump(value).decode().translate(back)
        except ValidationError as error:
            told = from_pydantic(error, value, python=True)
            raise EncodeError(self.label, restore(told, back)) from None
        except (AttributeError, TypeError):
            raise EncodeError(self.label, (_UNMADE,)) from None
        except ValueError:
            raise EncodeError(self.label, (self._foreign(value),)) from None
        return text.encode("utf-8", "backslashreplace")

    def _foreign(self, value: T) -> Problem:
        write = self._codec[2].to_python
        try:
            find_foreign(write(value, by_alias=True, exclude_unset=True, warnings=False))
            find_foreign(value)  # what the writer takes for text, such as a fraction
        except Foreign as error:
            return problem(error.path, error.expected, error.value)
        except (AttributeError, TypeError):
            return _UNMADE
        except (ValueError, RecursionError):
            pass
        return _NESTED

    @cached_property
    def _when_absent(self) -> tuple[T, ...]:
        values: list[T] = []
        for text in _FALSY:
            try:
                values.append(self.decode(text))
            except DecodeError:
                continue
        return tuple(values)

    def decode_absent(self) -> T:
        """Read a slot that the peer left out.

        The TypeScript original does not send a falsy ``prm``. Where the schema accepts exactly one falsy
        value (``null``, ``false``, ``0`` or ``""``), an absent slot is that value.

        Raises:
            DecodeError: No single value can have been meant.
        """
        if len(self._when_absent) != 1:
            raise DecodeError(self.label, (Problem("", "a value", "nothing"),))
        return self._when_absent[0]
