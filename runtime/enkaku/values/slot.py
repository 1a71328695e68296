"""Slots: the codec of one part of a procedure, from encoded JSON to a value of a Python type and back.

Values are validated in both directions: by pydantic, and by a JSON Schema validator if the type alone does not enforce the
schema. The fast codecs reject lone surrogates; a value with some is read and written again, with placeholders for them.
"""

import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from typing import Annotated, Any, Final, Generic, TypeVar, cast
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema
from typing_extensions import TypeForm

from enkaku._checks import require_bytes
from enkaku._json import DEPTH_MAX, dump_json, dump_text, load_json
from enkaku.errors import DecodeError, EncodeError, Problem

from .any_json import NotJson, require_json
from .deep_types import build
from .digits import doubt, read_again, read_exactly, read_json
from .encoder import make_encoder
from .exact import Exact
from .json_schema import Checked, CompiledSchema
from .jsonschema_problems import from_schema
from .memoized import MemoizedValidator
from .problems import problem
from .pydantic_internals import REPLACEMENT, Codec, Schema, codec_of
from .pydantic_problems import from_pydantic, is_invalid_json
from .secrets import hide_secrets
from .surrogates import (
    Placeholders,
    choose_placeholders,
    map_strings,
    replace_chars,
    replace_surrogates,
    restore_problems,
)
from .unions import Routed, TooManyAttempts, route

__all__ = ["Slot"]

T = TypeVar("T")

_MINUS: Final = ord("-")  # Python finds one byte faster than several
_MINUS_ZERO: Final = re.compile(
    rb"-0\.0(?=[],}]|$)"
)  # TypeScript writes 0; a string may contain it, too
_SHOWN: Final = 10  # problems that an error keeps
_FALSY: Final = (b"null", b"false", b"0", b'""')
_SURROGATES_MAX: Final = 2 * 1024 * 1024  # bytes of a value with lone surrogates, which takes 50 ms
_OVER_BUDGET: Final = Problem(
    "", "value that its unions can match within the validation budget", "ambiguous value"
)
_NESTED: Final = Problem(
    "", f"at most {DEPTH_MAX} levels of arrays and objects, without cycles", "more"
)
_TOO_LONG: Final = Problem(
    "", "numbers of at most 4300 digits that floats can tell apart", "other numbers"
)
_NOT_AN_INSTANCE: Final = Problem(
    "", "model instances made by their constructors", "another object"
)


class _Built:
    """The codec of a type, which is built at the first use: most programs use few of a protocol's procedures.

    Slots of the same type share it, because that of a large recursive type takes hundreds of megabytes.
    """

    _known: Final[WeakValueDictionary[int, "_Built"]] = WeakValueDictionary()
    _lock: Final = threading.Lock()

    def __init__(self, type_form: object) -> None:
        self._form: Final = type_form
        self._building: Final = threading.RLock()
        self._codec: Codec | None = None
        self._route: Routed | None = None
        self._is_routed = False
        self._memoized: MemoizedValidator | None = None

    @classmethod
    def of(cls, type_form: object) -> "_Built":
        """Return the codec of a type, which is found by its identity: equal unions may differ in their order."""
        with cls._lock:
            known = cls._known.get(id(type_form))
            if known is None:
                known = cls._known[id(type_form)] = cls(type_form)
            return known

    def codec(self, label: str) -> Codec:
        """Return the codec, and build it if necessary."""
        if self._codec is None:
            with self._building:
                if self._codec is None:
                    self._codec = build(label, self._make_codec)
        return self._codec

    def routed(self, label: str) -> Routed | None:
        """Return the validator that tries few alternatives of unions; None if the type needs none."""
        if not self._is_routed:
            with self._building:
                schema = self.codec(label)[0]
                self._route = build(label, lambda: route(schema))
                self._is_routed = True
        return self._route

    def memoized(self, label: str, routed: Routed) -> MemoizedValidator:
        """Return what validates no part of a value twice with the same type."""
        if self._memoized is None:
            self._memoized = MemoizedValidator(cast(Schema, self.codec(label)[0]), routed)
        return self._memoized

    def _make_codec(self) -> Codec:
        form = self._form
        if isinstance(form, type) and issubclass(form, BaseModel):
            form.model_rebuild()  # a complete model is exact, and has its own settings
            return codec_of(form)
        exact = cast(type[object], Annotated[form, Exact()])
        try:
            adapter = TypeAdapter(exact, config=ConfigDict(ser_json_inf_nan="constants"))
        except PydanticUserError:
            adapter = TypeAdapter(exact)  # a TypedDict or dataclass, which brings its own settings
        adapter.rebuild(raise_errors=True)
        validator = cast(SchemaValidator, adapter.validator)
        return adapter.core_schema, validator, adapter.serializer


class Slot(Generic[T]):
    """The message type and codec of one part of a procedure: a Python type and its JSON form.

    A value is read, or written, if and only if the slot's JSON Schema accepts it. A value that was read is written
    as the same JSON value.

    Args:
        label: Procedure and slot, such as ``"math/divide param"``, for error messages.
        type_form: The type of the values: a model, or any annotation that pydantic understands; ``Checked`` if
            no type enforces the schema.
        declared: Whether the protocol declares the slot. An undeclared slot is not sent; its only value is None.
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
        self._compiled: Final = CompiledSchema(label, checked) if checked else None

    def __repr__(self) -> str:
        return f"Slot({self.label!r}, {self.type_form!r})"

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        # A copy makes its own functions: generated functions cannot be pickled.
        form = self._checked or self.type_form
        return partial(Slot, self.label, form, declared=self.declared), ()

    def relabeled(self, label: str) -> "Slot[T]":
        """Return the same slot with another label."""
        return Slot(label, self._checked or self.type_form, declared=self.declared)

    @property
    def schema(self) -> Mapping[str, object] | bool | None:
        """The JSON Schema that validates values, or None if the type alone enforces it."""
        return None if self._checked is None else self._checked.schema

    @cached_property
    def _built(self) -> "_Built":
        return _Built.of(self.type_form)

    @cached_property
    def _codec(self) -> Codec:
        return self._built.codec(self.label)

    @cached_property
    def _routed(self) -> "Routed | None":
        return self._built.routed(self.label)

    def prepare(self) -> None:
        """Build what reads and writes values, which their first use would do. It may run in any thread.

        Raises:
            UsageError: The type is nested too deep, or the schema is invalid.
        """
        for make in (lambda: self.decode, lambda: self.encode, lambda: self._check):
            make()
        if self._compiled is not None:
            self._compiled.compile()

    @cached_property
    def _read(self) -> Callable[..., T]:
        route, label = self._routed, self.label
        if route is None:
            return self._codec[1].validate_json
        validate, attempts, memoized = (
            route.validator.validate_json,
            route.attempts,
            self._built.memoized,
        )

        def read(data: bytes, **settings: bool) -> T:
            attempts.begin(len(data))
            try:
                return cast(T, validate(data, **cast(Any, settings)))
            except TooManyAttempts:
                return read_memoized(data, **settings)
            finally:
                attempts.end(len(data))

        def read_memoized(data: bytes, **settings: bool) -> T:
            try:
                return cast(T, memoized(label, route).validate_json(data, **settings))
            except TooManyAttempts:
                raise DecodeError(label, (_OVER_BUDGET,)) from None

        return read

    @cached_property
    def _check(self) -> Callable[..., T]:
        form: object = self.type_form
        if isinstance(form, type) and issubclass(form, BaseModel):
            # pydantic would accept a dict for a model, with the Python names of its properties.
            return SchemaValidator(core_schema.is_instance_schema(form)).validate_python
        return self._codec[1].validate_python

    @cached_property
    def decode(self) -> Callable[[bytes], T]:
        """Read a value from encoded JSON: a function, which is made at the first use.

        Raises:
            DecodeError: The bytes are not JSON, or the schema rejects the value.
            UsageError: It is not given bytes; or the type is nested too deep, at the first use.
        """
        if self._compiled is not None:
            return self._decode_checked
        read, again, unusual = self._read, self._decode_again, self._decode_unusual
        require = self._require_bytes

        def decode(data: bytes) -> T:
            before = doubt.last
            try:
                value = read(data, strict=True, by_alias=True, by_name=False)
            except ValidationError as error:
                return unusual(data, error, before)
            except TypeError:
                require(data)
                raise
            return value if doubt.last is before else again(data, value)

        return decode

    def _require_bytes(self, data: object) -> None:
        """Raise UsageError unless data is bytes. Called where it is not costly: pydantic reads JSON in a string, too."""
        if type(data) is not bytes:
            require_bytes(f"{self.label}: decode()", data)

    def _decode_checked(self, data: bytes) -> T:
        """Read a value, and validate it by its JSON Schema."""
        self._require_bytes(data)
        before = doubt.last
        try:
            value = self._read_strictly(data)
        except ValidationError as error:
            if is_invalid_json(error):
                return self._decode_invalid(data, error)
            value = self._decode_rejected(data, error, before)
        else:
            if doubt.last is not before:
                value = self._decode_again(data, value)
        if self._compiled is not None and self._compiled.surrogates:
            return self._decode_surrogates(data)
        self._require_accepted(data, None)
        return value

    def _rejection(self, problems: tuple[Problem, ...]) -> DecodeError:
        first, more = self._shown(problems)
        return DecodeError(self.label, first, more=more)

    def _unfit(self, problems: tuple[Problem, ...]) -> EncodeError:
        first, more = self._shown(problems)
        return EncodeError(self.label, first, more=more)

    def _shown(self, problems: tuple[Problem, ...]) -> tuple[tuple[Problem, ...], int]:
        """Return the first problems, without secrets, and the number of the others."""
        first = problems[:_SHOWN]
        return hide_secrets(first, self.type_form, self._checked), len(problems) - len(first)

    def _decode_surrogates(self, data: bytes) -> T:
        try:
            value = load_json(data)
        except ValueError:
            raise DecodeError(self.label, (_TOO_LONG,)) from None
        return self._decode_slowly(value)

    def _decode_type(self, data: bytes) -> T:
        """Read a value of the slot's type.

        Raises:
            DecodeError: The type rejects the value.
        """
        before = doubt.last
        try:
            value = self._read_strictly(data)
        except ValidationError as error:
            return self._decode_rejected(data, error, before)
        return value if doubt.last is before else self._decode_again(data, value)

    def _read_strictly(self, data: bytes) -> T:
        return self._read(data, strict=True, by_alias=True, by_name=False)

    def _decode_again(self, data: bytes, value: T) -> T:
        """Return a value that was read, or read it again if digits of its numbers were lost."""
        self._require_bytes(data)
        again = self._read_again(data)
        return value if again is None else again[0]

    def _decode_rejected(self, data: bytes, error: ValidationError, before: object) -> T:
        """Read a value again if digits of its numbers were lost, or raise DecodeError for why it was rejected."""
        again = None if doubt.last is before else self._read_again(data)
        if again is None:
            raise self._rejection(from_pydantic(error, read_exactly(data))) from None
        return again[0]

    def _read_again(self, data: bytes) -> tuple[T] | None:
        try:
            return read_again(data, self._read_strictly)
        except ValidationError as error:
            raise self._rejection(from_pydantic(error, read_exactly(data))) from None
        except ValueError:
            raise DecodeError(self.label, (_TOO_LONG,)) from None

    def _require_accepted(self, data: bytes, placeholders: Placeholders | None) -> None:
        schema = self._compiled
        if schema is None:
            return
        try:
            value, decimals = read_json(data)
        except ValueError:
            raise DecodeError(self.label, (_TOO_LONG,)) from None
        if not schema.accepts(value, placeholders, decimals=decimals):
            errors = schema.errors(value, placeholders, decimals=decimals)
            raise self._rejection(from_schema(errors, value))

    def _decode_unusual(self, data: bytes, error: ValidationError, before: object) -> T:
        self._require_bytes(data)
        if not is_invalid_json(error):
            return self._decode_rejected(data, error, before)
        return self._decode_invalid(data, error)

    def _decode_invalid(self, data: bytes, error: ValidationError) -> T:
        value: object = None
        # pydantic rejects lone surrogates, which JSON allows as escapes.
        if rb"\u" in data and len(data) <= _SURROGATES_MAX:
            with suppress(ValueError, RecursionError):
                value = load_json(data)
                return self._decode_slowly(value)
        raise self._rejection(from_pydantic(error, value)) from None

    def _decode_slowly(self, json_value: object) -> T:
        """Read a value with placeholders for lone surrogates.

        Raises:
            DecodeError: The schema rejects the value.
            ValueError: The value is not JSON.
        """
        text = dump_text(json_value)
        schema = "" if self._compiled is None else self._compiled.text
        placeholders, restore = choose_placeholders(text, schema)
        data = replace_chars(text, placeholders).encode()
        try:
            value = self._decode_type(data)
            self._require_accepted(data, placeholders)
        except DecodeError as error:
            rejection = error
        else:
            return map_strings(value, lambda text: replace_chars(text, restore))
        problems = restore_problems(rejection.problems, restore)
        raise DecodeError(self.label, problems, more=rejection.more)

    @cached_property
    def encode(self) -> Callable[[T], bytes]:
        """Write a value as compact JSON, in UTF-8: a function, which is made at the first use.

        Raises:
            EncodeError: The schema rejects the value, or JSON cannot express it.
        """
        if self._routed is not None:
            return self._encode  # a valid value may exceed the validation budget of its reader
        if self._compiled is None:
            return build(self.label, lambda: make_encoder(self._codec[0], self._encode))
        return self._encode if self._compiled.surrogates else self._encode_checked(self._compiled)

    def _encode_checked(self, schema: CompiledSchema) -> Callable[[T], bytes]:
        """Return a function that writes values which their JSON Schema accepts."""

        def reject(_: T) -> bytes:
            return b""

        write = build(self.label, lambda: make_encoder(self._codec[0], reject))

        def encode(value: T) -> bytes:
            data = write(value)
            return data if data and schema.accepts(read_json(data)[0]) else self._encode(value)

        return encode

    def _encode(self, value: T) -> bytes:
        try:
            data = self._dump(value)
            if REPLACEMENT[0] in data and REPLACEMENT in data:
                data = self._dump_slowly(value)
        except ValueError:
            data = self._dump_slowly(value)
        try:
            # The peer will validate these bytes in the same way: so they are valid, whatever objects the value contains.
            self.decode(data)
        except DecodeError as error:
            raise EncodeError(self.label, error.problems, more=error.more) from None
        return data

    def _dump(self, value: T) -> bytes:
        self._check(value, strict=True, by_alias=False, by_name=True)
        data = self._codec[2].to_json(value, by_alias=True, exclude_unset=True, warnings=False)
        if _MINUS in data and _MINUS_ZERO.search(data) is not None:
            return dump_json(load_json(data))
        return data

    def _dump_slowly(self, value: T) -> bytes:
        """Write a value that pydantic does not write, which may have lone surrogates, or raise EncodeError for it."""
        schemas = [] if self._compiled is None else [self._compiled.text]
        restore: Placeholders = {}
        try:
            value, restore = replace_surrogates(value, *schemas)
            text = replace_chars(self._dump(value).decode(), restore)
        except ValidationError as error:
            problems = from_pydantic(error, value, python=True)
            raise self._unfit(restore_problems(problems, restore)) from None
        except (AttributeError, TypeError):
            raise EncodeError(self.label, (_NOT_AN_INSTANCE,)) from None
        except ValueError:
            raise self._unfit((self._not_json(value),)) from None
        return text.encode("utf-8", "backslashreplace")

    def _not_json(self, value: T) -> Problem:
        """Return the problem of a value that pydantic cannot write as JSON."""
        write = self._codec[2].to_python
        try:
            written = write(value, by_alias=True, exclude_unset=True, warnings=False)
            require_json(written, but=bytes)  # bytes may be where the schema has them
            require_json(written)
            require_json(value)  # the serializer writes some objects as strings, such as a fraction
        except NotJson as error:
            return problem(error.path, error.expected, error.value)
        except (AttributeError, TypeError):
            return _NOT_AN_INSTANCE
        except (ValueError, RecursionError):
            pass
        return _NESTED

    @cached_property
    def _when_absent(self) -> tuple[T, ...]:
        values: list[T] = []
        for data in _FALSY:
            try:
                values.append(self.decode(data))
            except DecodeError:
                continue
        return tuple(values)

    def decode_absent(self) -> T:
        """Return the value of a slot that the peer did not send.

        The TypeScript implementation does not send a falsy ``prm``. If the schema accepts exactly one falsy value
        (``null``, ``false``, ``0`` or ``""``), an absent slot means that value.

        Raises:
            DecodeError: The schema accepts no falsy value, or several.
        """
        if len(self._when_absent) != 1:
            raise DecodeError(self.label, (Problem("", "value", "nothing"),))
        return self._when_absent[0]
