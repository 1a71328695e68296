"""Fast encoders: functions, generated for a type, that validate a value and copy it for msgspec to write.

Most types are models of strings, numbers, bytes and constants, and arrays and maps of those. The encoder writes a validated copy,
so that a concurrent change of the original cannot reach the wire. It never rejects a value: a value that it does not
support, be it invalid or only unusual, goes to pydantic's serializer, which also explains errors.

``_Generator`` writes Python source for the schema of a type. ``_compile`` executes it, as ``dataclasses`` does. For the class ::

    class Point(Model, extra="forbid"):
        x: Annotated[int, Field(alias="xAxis", ge=0)]
        label: str | None = None

the source is the function below. In it, ``c5`` is the class, ``c6`` has the names of its required fields, and ``c7`` is a
msgspec struct whose fields have the JSON names. ::

    def encode(v):
     try:
      if type(v) is not c5: fail()
      fields = v.__dict__
      given = v.__pydantic_fields_set__
      if not given >= c6: fail()
      v0 = fields['x']
      if not (type(v0) is int and v0 >= 0): fail()
      v1 = fields['label']
      if v1 is None or 'label' not in given: v1 = UNSET
      elif not (type(v1) is str): fail()
      data = write(c7(v0, v1))
      if len(data) <= 4300 or 0 < max_digits() <= 4300: return data
     except Exception: pass
     return fallback(v)
"""

import sys
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, NoReturn, TypeVar, cast

from msgspec import UNSET, defstruct
from msgspec.json import Encoder
from pydantic_core import CoreSchema, SchemaValidator

from enkaku._json import EXACT_INTEGER_MAX, decimal_of

from .any_json import BYTES, CONSTANTS, INTEGER, NUMBER
from .base64_bytes import WRITE_BASE64
from .exact import ABSENT, ABSENT_IF
from .pydantic_internals import (
    CONFIG_KEYS,
    DIGITS_MAX,
    EXTRA,
    FIELD_KEYS,
    FIELDS_KEYS,
    FIELDS_SET,
    LENGTH_KEYS,
    MODEL_KEYS,
    SILENT_KEYS,
    Schema,
    choices_of,
    definitions_of,
    is_open,
)

__all__ = ["make_encoder"]

T = TypeVar("T")

_LARGE: Final = 1e16  # from here on, floats are written with an exponent
_MARKS: Final = frozenset({BYTES, CONSTANTS, INTEGER, NUMBER})
_COMPARISONS: Final = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_PARTS_MAX: Final = (
    100  # classes, arrays and maps of a type; so its values are within the nesting depth that is read
)

_Name = Callable[[object], str]
"""Adds an object to the scope of the source, and returns its name there."""


class _Unsupported(Exception):
    """The fast encoder does not support a type or a value."""


def make_encoder(schema: CoreSchema, fallback: Callable[[T], bytes]) -> Callable[[T], bytes]:
    """Return a function that writes values of a type as compact JSON.

    Args:
        schema: The schema of the type, made exact.
        fallback: Writes, or rejects, the values that the function does not support.
    """
    try:
        generator = _Generator(cast(Schema, schema))
        return cast(Callable[[T], bytes], _compile(*generator.generate(fallback)))
    except (_Unsupported, SyntaxError):  # SyntaxError: the source has too many nested parentheses
        return fallback


def _compile(source: str, scope: dict[str, object]) -> object:
    """Execute generated source, and return its function ``encode``.

    The source contains no text of a protocol, except names and numbers, as ``repr`` writes them.
    """
    exec(compile(source, "<fast encoder>", "exec"), scope)  # noqa: S102 # generated above
    return scope["encode"]


# --- Tests of scalars: expressions with "{0}" for the value ---


def _require_keys(schema: Schema, known: AbstractSet[str] = frozenset()) -> None:
    """Raise _Unsupported if a schema has other keys, which might change its meaning."""
    if not schema.keys() <= known | SILENT_KEYS:
        raise _Unsupported


def _length_test(schema: Schema, value: str) -> str:
    """Return the end of a test, for the bounds of a length."""
    least, most = schema.get("min_length"), schema.get("max_length")
    tests = [f" and len({value}) >= {least:d}"] if least is not None else []
    tests += [f" and len({value}) <= {most:d}"] if most is not None else []
    return "".join(tests)


def _scalar_test(schema: Schema, name: _Name) -> str | None:
    """Return an expression that is true if ``{0}`` is valid and written as it is, or None if the type is no scalar."""
    if not schema.get("metadata", {}).keys().isdisjoint(_MARKS):
        return _marked_test(schema, name)
    match schema["type"]:
        case "str":
            _require_keys(schema, LENGTH_KEYS | {"pattern"})
            has_pattern = "pattern" in schema
            rest = f" and {_pydantic_test(schema, name)}" if has_pattern else ""
            return f"type({{0}}) is str{rest or _length_test(schema, '{0}')}"
        case "literal":
            _require_keys(schema, {"expected"})
            return _constant_test(schema["expected"], name)
        case "bool":
            _require_keys(schema)
            return "type({0}) is bool"
        case "none":
            _require_keys(schema)
            return "{0} is None"
        case _:
            return None


def _marked_test(schema: Schema, name: _Name) -> str:
    """Return the test of a scalar that is marked as having an exact meaning."""
    metadata = schema["metadata"]
    if schema.get("serialization") != (WRITE_BASE64 if BYTES in metadata else {"type": "any"}):
        raise _Unsupported  # a serializer of the program writes it
    if BYTES in metadata:
        return "type({0}) is bytes"  # which msgspec writes as base64
    if CONSTANTS in metadata:
        return _constant_test(metadata[CONSTANTS], name)
    if INTEGER in metadata:
        return _number_tests(schema, metadata[INTEGER], name)[0]
    integer, real = _number_tests(schema, metadata[NUMBER], name)
    return f"({real} or {integer})"


def _constant_test(expected: list[object], name: _Name) -> str:
    types = frozenset(type(each) for each in expected)
    if not types <= {str, int, bool, type(None)}:
        raise _Unsupported
    if all(each is str for each in types):
        return f"type({{0}}) is str and {{0}} in {name(frozenset(expected))}"
    pairs = frozenset((type(each), each) for each in expected)
    return f"type({{0}}) in {name(types)} and (type({{0}}), {{0}}) in {name(pairs)}"


def _number_tests(schema: Schema, bounds: dict[str, float], name: _Name) -> tuple[str, str]:
    """Return the tests of integers, and of floats."""
    integer, real = ["type({0}) is int"], ["type({0}) is float"]
    if not bounds.keys() <= _COMPARISONS.keys():
        integer.append(_pydantic_test(schema, name))
        real.append(integer[-1])
    else:
        for each, limit in bounds.items():
            integer.append(f"{{0}} {_COMPARISONS[each]} {_limit(limit, name)}")
            real.append(f"{{0}} {_COMPARISONS[each]} {_limit(limit, name, float)}")
    # Neither NaN nor an infinity. Larger floats and minus zero are written in another form.
    real[1:1] = [f"{{0}} > -{_LARGE}", f"{{0}} < {_LARGE}", "({0} or str({0}) == '0.0')"]
    return " and ".join(integer), " and ".join(real)


def _limit(limit: float, name: _Name, number: type[float] = int) -> str:
    """Return the source of a bound: of the type that it is compared with, if exact, because that is faster."""
    if type(limit) not in {int, float}:
        raise _Unsupported
    if abs(limit) >= EXACT_INTEGER_MAX:
        # A float is the number of its shortest notation. Those that are compared here are integers, too.
        return name(int(decimal_of(limit)))
    return repr(number(limit)) if number(limit) == limit else name(limit)


def _pydantic_test(schema: Schema, name: _Name) -> str:
    """Return a test by pydantic's validator, for a value whose class was tested before."""
    unshared = cast(CoreSchema, {key: schema[key] for key in schema if key != "ref"})
    return f"{name(SchemaValidator(unshared).isinstance_python)}({{0}})"


# --- Source for whole types ---


class _Emitter(NamedTuple):
    """The source for a value of one type.

    Attributes:
        test: An expression that is true if ``{0}`` is valid; ``""`` if the copy validates.
        copy: An expression for what is written; it raises _Unsupported if there is no test and the value is invalid.
        type: The name of the value's class in the source, if there is no test and only one class is valid.
    """

    test: str
    copy: str = "{0}"
    type: str = ""


class _Generator:
    """Generates the source of a type's functions, and the scope with the objects that they use."""

    def __init__(self, root: Schema) -> None:
        self._root, self._definitions = definitions_of(root)
        self._open: set[str] = set()
        while self._root["type"] == "definition-ref":
            self._open.add(self._root["schema_ref"])
            self._root = self._definitions[self._root["schema_ref"]]
        self._emitters: dict[str, _Emitter] = {}
        self._source: list[str] = []
        self._parts = 0
        self._methods: dict[str, Callable[[Schema], _Emitter]] = {
            "definition-ref": self._definition,
            "dict": self._map,
            "list": self._list,
            "model": self._nested_model,
            "nullable": self._union,
            "tuple": self._tuple,
            "union": self._union,
        }
        self._scope: dict[str, object] = {
            "ABSENT": ABSENT,
            "UNSET": UNSET,
            "fail": _fail,
            "max_digits": sys.get_int_max_str_digits,
            "write": Encoder().encode,
        }

    def generate(self, fallback: object) -> tuple[str, dict[str, object]]:
        """Return the source of the function ``encode``, and its scope."""
        if self._root["type"] == "model":
            lines, copy = self._model(self._root)
        else:
            emitter = self._emitter(self._root)
            lines, copy = _validated(emitter, "v"), "v"
        self._scope["fallback"] = fallback
        self._source += [
            "def encode(v):",
            " try:",
            *(f"  {line}" for line in lines),
            f"  data = write({copy})",
            # A number of more digits is not read, nor written unless Python is configured to.
            f"  if len(data) <= {DIGITS_MAX} or 0 < max_digits() <= {DIGITS_MAX}: return data",
            " except Exception: pass",
            " return fallback(v)",
        ]
        return "\n".join(self._source), self._scope

    def _define(self, name: str, lines: list[str], copy: str) -> str:
        """Write a function of ``v``; return an expression that calls it with ``{0}``."""
        name = f"{name}{len(self._source)}"
        self._source += [f"def {name}(v):", *(f" {line}" for line in lines), f" return {copy}"]
        return f"{name}({{0}})"

    def _name(self, value: object) -> str:
        """Add an object to the scope; return its name there."""
        name = f"c{len(self._scope)}"
        self._scope[name] = value
        return name

    def _emitter(self, schema: Schema) -> _Emitter:
        test = _scalar_test(schema, self._name)
        if test is None and schema["type"] not in self._methods:
            raise _Unsupported
        return _Emitter(test) if test is not None else self._methods[schema["type"]](schema)

    def _union(self, schema: Schema) -> _Emitter:
        """Accept what one alternative accepts: those without a test are distinguished by the class of the value."""
        emitters = [self._emitter(each) for each in _alternatives(schema)]
        tests = " or ".join(f"({each.test})" for each in emitters if each.test)
        untested = [each for each in emitters if not each.test]
        if not untested:
            return _Emitter(f"({tests})")
        types = {each.type for each in untested}
        if "" in types or len(types) < len(untested):
            raise _Unsupported
        lines = [f"if {tests.format('v')}: return v"] if tests else []
        lines += [f"if type(v) is {each.type}: return {each.copy.format('v')}" for each in untested]
        return _Emitter("", self._define("choose", lines, "fail()"))

    def _list(self, schema: Schema) -> _Emitter:
        _require_keys(schema, LENGTH_KEYS | {"items_schema"})
        return self._array("list", schema.get("items_schema", {"type": "any"}), schema)

    def _tuple(self, schema: Schema) -> _Emitter:
        _require_keys(schema, LENGTH_KEYS | {"items_schema", "variadic_item_index"})
        if len(schema["items_schema"]) != 1 or schema.get("variadic_item_index") != 0:
            raise _Unsupported
        return self._array("tuple", schema["items_schema"][0], schema)

    def _array(self, type_name: str, items: Schema, schema: Schema) -> _Emitter:
        item = self._emitter(items)
        condition = f" if {item.test.format('each')}" if item.test else ""
        copy = f"[{item.copy.format('each')} for each in v{condition}]"
        return self._collection(type_name, copy, schema)

    def _map(self, schema: Schema) -> _Emitter:
        _require_keys(schema, LENGTH_KEYS | {"keys_schema", "values_schema"})
        key, value = self._emitter(schema["keys_schema"]), self._emitter(schema["values_schema"])
        if not key.test.startswith("type({0}) is str"):
            raise _Unsupported
        condition = key.test.format("key")
        condition += f" and ({value.test.format('each')})" if value.test else ""
        items = f"key: {value.copy.format('each')} for key, each in v.items() if {condition}"
        return self._collection("dict", f"{{{items}}}", schema)

    def _collection(self, type_name: str, copy: str, schema: Schema) -> _Emitter:
        """Copy the valid items of an array or a map, and fail unless all are valid."""
        self._count()
        lines = [
            f"if type(v) is not {type_name}: fail()",
            f"copy = {copy}",
            f"if not (len(copy) == len(v){_length_test(schema, 'copy')}): fail()",
        ]
        return _Emitter("", self._define("copy", lines, "copy"), type_name)

    def _count(self) -> None:
        self._parts += 1
        if self._parts > _PARTS_MAX:
            raise _Unsupported

    def _definition(self, reference: Schema) -> _Emitter:
        name = reference["schema_ref"]
        if name in self._open or name not in self._definitions:
            raise _Unsupported  # the type is recursive
        if name not in self._emitters:
            self._open.add(name)
            self._emitters[name] = self._emitter(self._definitions[name])
            self._open.discard(name)
        return self._emitters[name]

    def _nested_model(self, schema: Schema) -> _Emitter:
        return _Emitter("", self._define("model", *self._model(schema)), self._name(schema["cls"]))

    def _model(self, schema: Schema) -> tuple[list[str], str]:
        """Return statements that validate a model, ``v``, and an expression for what is written of it."""
        self._count()
        config, inner = schema.get("config", {}), schema["schema"]
        _require_keys(schema, MODEL_KEYS)
        _require_keys(inner, FIELDS_KEYS)
        unusual = [
            schema.get("custom_init"),
            schema.get("root_model"),
            inner.get("computed_fields"),
        ]
        if any(unusual) or config.keys() - CONFIG_KEYS or inner["type"] != "model-fields":
            raise _Unsupported
        fields: dict[str, Schema] = inner["fields"]
        required = frozenset(name for name in fields if fields[name]["schema"]["type"] != "default")
        lines = [
            f"if type(v) is not {self._name(schema['cls'])}: fail()",
            "fields = v.__dict__",
            f"given = v.{FIELDS_SET}",
            f"if not given >= {self._name(required)}: fail()",
        ]
        if is_open(schema):
            lines.append(f"if v.{EXTRA}: fail()")
        variables = [f"v{index}" for index, _ in enumerate(fields)]
        for variable, (name, field) in zip(variables, fields.items(), strict=True):
            lines += [f"{variable} = fields[{name!r}]", *self._field(name, field, variable)]
        names = [_wire_name(name, field) for name, field in fields.items()]
        return lines, f"{self._name(_struct(names))}({', '.join(variables)})"

    def _field(self, name: str, field: Schema, variable: str) -> list[str]:
        """Return statements that validate a field, and replace its value by UNSET if it is not written."""
        _require_keys(field, FIELD_KEYS)
        schema, excluded = field["schema"], field.get("serialization_exclude_if")
        if schema["type"] != "default":
            if excluded is not None:
                raise _Unsupported
            return _validated(self._emitter(schema), variable)
        _require_keys(schema, {"default", "schema"})
        inner = schema["schema"]
        optional = inner.get("metadata", {}).get("optional")
        emitter = self._emitter(inner["json_schema"] if optional else inner)
        absent = [f"{name!r} not in given"]
        if excluded is not None:
            absent += [
                f"{variable} is {each!r}" for each, rule in ABSENT_IF.items() if rule is excluded
            ]
            if len(absent) == 1:
                raise _Unsupported
        condition = f"if {' or '.join(absent[::-1])}: {variable} = UNSET"
        if emitter.test:
            return [condition, f"elif not ({emitter.test.format(variable)}): fail()"]
        return [condition, f"else: {variable} = {emitter.copy.format(variable)}"]


def _validated(emitter: _Emitter, variable: str) -> list[str]:
    if emitter.test:
        return [f"if not ({emitter.test.format(variable)}): fail()"]
    return [f"{variable} = {emitter.copy.format(variable)}"]


def _alternatives(schema: Schema) -> list[Schema]:
    if schema["type"] == "nullable":
        _require_keys(schema, {"schema"})
        return [{"type": "none"}, *_alternatives(schema["schema"])]
    if schema["type"] != "union":
        return [schema]
    _require_keys(schema, {"auto_collapse", "choices", "mode"})
    return [inner for each in choices_of(schema) for inner in _alternatives(each)]


def _wire_name(name: str, field: Schema) -> str:
    """Return the name of a field's property on the wire."""
    read = field.get("validation_alias", name)
    if not isinstance(read, str) or read != field.get("serialization_alias", name):
        raise _Unsupported
    return read


def _struct(names: Sequence[str]) -> type:
    """Make the msgspec class that is written for a model."""
    if len(set(names)) < len(names):
        raise _Unsupported
    attributes = [f"a{index}" for index, _ in enumerate(names)]
    try:
        return defstruct(
            "Copy",
            [(each, object) for each in attributes],
            rename=dict(zip(attributes, names, strict=True)),
            gc=False,
        )
    except ValueError:  # msgspec does not escape names
        raise _Unsupported from None


def _fail() -> NoReturn:
    raise _Unsupported
