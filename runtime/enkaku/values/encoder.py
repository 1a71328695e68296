"""Fast encoders: functions, generated for a type, that validate a value and copy it for msgspec to write.

Most types are models of strings, numbers and constants, and arrays and maps of those. The encoder writes a validated copy,
so that a concurrent change of the original cannot reach the wire. It never rejects a value: what it does not know, be it
wrong or only unusual, goes to pydantic's serializer, which also has the words for an error.
"""

import sys
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, NoReturn, TypeVar, cast

from msgspec import UNSET, defstruct
from msgspec.json import Encoder
from pydantic_core import CoreSchema, SchemaValidator

from .any_json import CONSTANTS, NUMBER, WHOLE
from .exact import ABSENT, ABSENT_IF
from .pydantic_internals import (
    CONFIG_KEYS,
    EXTRA,
    FIELD_KEYS,
    FIELDS_KEYS,
    FIELDS_SET,
    LENGTH_KEYS,
    MODEL_KEYS,
    SILENT_KEYS,
    Node,
    choices_of,
    definitions_of,
    is_open,
)

__all__ = ["NotPlain", "know", "plain_writer", "sized", "test_of"]

_LARGE: Final = 1e16  # from here on, floats are written with an exponent
_EXACT: Final = 2**53  # below it, every whole number is a float
_COMPARED: Final = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}

Name = Callable[[object], str]
"""Returns what an expression calls a value."""


class NotPlain(Exception):
    """Here ends what is known: of a type, or of a value."""


def know(node: Node, said: AbstractSet[str] = frozenset()) -> None:
    """Raise NotPlain if a node says more."""
    if not node.keys() <= said | SILENT_KEYS:
        raise NotPlain


def sized(node: Node, value: str) -> str:
    """Return what is to be added to a test of a value, for the bounds of its length."""
    least, most = node.get("min_length"), node.get("max_length")
    tests = [f" and len({value}) >= {least:d}"] if least is not None else []
    tests += [f" and len({value}) <= {most:d}"] if most is not None else []
    return "".join(tests)


def test_of(node: Node, name: Name) -> str | None:
    """Return an expression that is true if ``{0}`` is plain, or None if the node is no scalar's."""
    metadata = node.get("metadata", {})
    marks = metadata.keys() & {CONSTANTS, NUMBER, WHOLE}
    if marks and node.get("serialization") != {"type": "any"}:
        raise NotPlain  # it is written in another way
    if CONSTANTS in marks:
        return _constants(metadata[CONSTANTS], name)
    if WHOLE in marks:
        return _number(node, metadata[WHOLE], name)[0]
    if NUMBER in marks:
        whole, real = _number(node, metadata[NUMBER], name)
        return f"({real} or {whole})"
    match node["type"]:
        case "str":
            know(node, LENGTH_KEYS | {"pattern"})
            asked = f" and {_judge(node, name)}" if "pattern" in node else sized(node, "{0}")
            return f"type({{0}}) is str{asked}"
        case "literal":
            know(node, {"expected"})
            return _constants(node["expected"], name)
        case "bool":
            know(node)
            return "type({0}) is bool"
        case "none":
            know(node)
            return "{0} is None"
        case _:
            return None


def _constants(expected: list[object], name: Name) -> str:
    kinds = frozenset(type(each) for each in expected)
    if not kinds <= {str, int, bool, type(None)}:
        raise NotPlain
    if all(kind is str for kind in kinds):
        return f"type({{0}}) is str and {{0}} in {name(frozenset(expected))}"
    pairs = frozenset((type(each), each) for each in expected)
    return f"type({{0}}) in {name(kinds)} and (type({{0}}), {{0}}) in {name(pairs)}"


def _number(node: Node, bounds: dict[str, float], name: Name) -> tuple[str, str]:
    """Return the tests of whole numbers, and of others."""
    whole, real = ["type({0}) is int"], ["type({0}) is float"]
    if not bounds.keys() <= _COMPARED.keys():
        whole.append(_judge(node, name))
        real.append(whole[-1])
    else:
        for each, limit in bounds.items():
            whole.append(f"{{0}} {_COMPARED[each]} {_limit(limit, name)}")
            real.append(f"{{0}} {_COMPARED[each]} {_limit(limit, name, float)}")
    # Neither NaN nor an infinity. What is larger is written in another form, and so is minus zero.
    real[1:1] = [f"{{0}} > -{_LARGE}", f"{{0}} < {_LARGE}", "({0} or str({0}) == '0.0')"]
    return " and ".join(whole), " and ".join(real)


def _limit(limit: float, name: Name, kind: type[float] = int) -> str:
    """Return how a bound is written; as a number of the kind it is compared with, if it is the same: that is faster."""
    if type(limit) not in {int, float}:
        raise NotPlain
    return repr(kind(limit)) if abs(limit) < _EXACT and kind(limit) == limit else name(limit)


def _judge(node: Node, name: Name) -> str:
    """Return a test that asks pydantic, of a value whose class was looked at."""
    schema = cast(CoreSchema, {key: node[key] for key in node if key != "ref"})
    return f"{name(SchemaValidator(schema).isinstance_python)}({{0}})"


T = TypeVar("T")

_PARTS_MAX: Final = 100  # classes, arrays and maps in a type: so no deeper than what is read
_DIGITS: Final = 4300  # of a number: more are not read, nor written unless Python is told to


def plain_writer(schema: CoreSchema, rest: Callable[[T], bytes]) -> Callable[[T], bytes]:
    """Return a function that writes values of a type as compact JSON.

    Args:
        schema: The schema of the type, made exact.
        rest: Writes, or refuses, the values that are not plain.
    """
    try:
        return cast(Callable[[T], bytes], _Writer(cast(Node, schema)).compiled(rest))
    except (NotPlain, SyntaxError):  # the latter for too many parentheses
        return rest


class _Form(NamedTuple):
    """How a value is looked at.

    Attributes:
        test: An expression that is true if ``{0}`` is plain; none where that shows when it is copied.
        copy: An expression for what is written, which raises NotPlain where there is no test.
        kind: What the class of the value is called in the source, if there is no test and it is the only one.
    """

    test: str
    copy: str = "{0}"
    kind: str = ""


class _Writer:
    """Makes the source of a type's functions, and what they refer to."""

    def __init__(self, root: Node) -> None:
        self._root, self._definitions = definitions_of(root)
        self._open: set[str] = set()
        while self._root["type"] == "definition-ref":
            self._open.add(self._root["schema_ref"])
            self._root = self._definitions[self._root["schema_ref"]]
        self._forms: dict[str, _Form] = {}
        self._source: list[str] = []
        self._parts = 0
        self._makers: dict[str, Callable[[Node], _Form]] = {
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
            "digits": sys.get_int_max_str_digits,
            "write": Encoder().encode,
        }

    def compiled(self, rest: object) -> object:
        """Return the function that writes a value of the type."""
        if self._root["type"] == "model":
            lines, copy = self._model(self._root)
        else:
            form = self._form(self._root)
            lines, copy = _checked(form, "v"), "v"
        self._scope["rest"] = rest
        self._source += [
            "def encode(v):",
            " try:",
            *(f"  {line}" for line in lines),
            f"  text = write({copy})",
            f"  if len(text) <= {_DIGITS} or 0 < digits() <= {_DIGITS}: return text",
            " except Exception: pass",
            " return rest(v)",
        ]
        # Nothing of a protocol is in it but names and numbers, as Python writes them.
        source = compile("\n".join(self._source), "<plain values>", "exec")
        exec(source, self._scope)  # noqa: S102 # it was made here, as dataclasses make theirs
        return self._scope["encode"]

    def _define(self, name: str, lines: list[str], copy: str) -> str:
        """Make a function of ``v``; return an expression that calls it with ``{0}``."""
        name = f"{name}{len(self._source)}"
        self._source += [f"def {name}(v):", *(f" {line}" for line in lines), f" return {copy}"]
        return f"{name}({{0}})"

    def _name(self, value: object) -> str:
        """Return what the source calls a value."""
        name = f"x{len(self._scope)}"
        self._scope[name] = value
        return name

    def _form(self, node: Node) -> _Form:
        test = test_of(node, self._name)
        if test is None and node["type"] not in self._makers:
            raise NotPlain
        return _Form(test) if test is not None else self._makers[node["type"]](node)

    def _union(self, node: Node) -> _Form:
        """Accept what one alternative accepts: classes tell those apart that have no test."""
        forms = [self._form(each) for each in _alternatives(node)]
        tests = " or ".join(f"({form.test})" for form in forms if form.test)
        copied = [form for form in forms if not form.test]
        if not copied:
            return _Form(f"({tests})")
        kinds = {form.kind for form in copied}
        if "" in kinds or len(kinds) < len(copied):
            raise NotPlain
        lines = [f"if {tests.format('v')}: return v"] if tests else []
        lines += [f"if type(v) is {form.kind}: return {form.copy.format('v')}" for form in copied]
        return _Form("", self._define("choose", lines, "fail()"))

    def _list(self, node: Node) -> _Form:
        know(node, LENGTH_KEYS | {"items_schema"})
        return self._array("list", node.get("items_schema", {"type": "any"}), node)

    def _tuple(self, node: Node) -> _Form:
        know(node, LENGTH_KEYS | {"items_schema", "variadic_item_index"})
        if len(node["items_schema"]) != 1 or node.get("variadic_item_index") != 0:
            raise NotPlain
        return self._array("tuple", node["items_schema"][0], node)

    def _array(self, kind: str, items: Node, node: Node) -> _Form:
        form = self._form(items)
        only = f" if {form.test.format('each')}" if form.test else ""
        return self._gathered(kind, f"[{form.copy.format('each')} for each in v{only}]", node)

    def _map(self, node: Node) -> _Form:
        know(node, LENGTH_KEYS | {"keys_schema", "values_schema"})
        name, form = self._form(node["keys_schema"]), self._form(node["values_schema"])
        if not name.test.startswith("type({0}) is str"):
            raise NotPlain
        only = name.test.format("name")
        only += f" and ({form.test.format('each')})" if form.test else ""
        each = f"name: {form.copy.format('each')} for name, each in v.items() if {only}"
        return self._gathered("dict", f"{{{each}}}", node)

    def _gathered(self, kind: str, copy: str, node: Node) -> _Form:
        """Copy what is plain in an array or a map: it has to be all."""
        self._count()
        lines = [
            f"if type(v) is not {kind}: fail()",
            f"copy = {copy}",
            f"if not (len(copy) == len(v){sized(node, 'copy')}): fail()",
        ]
        return _Form("", self._define("gather", lines, "copy"), kind)

    def _count(self) -> None:
        self._parts += 1
        if self._parts > _PARTS_MAX:
            raise NotPlain

    def _definition(self, reference: Node) -> _Form:
        name = reference["schema_ref"]
        if name in self._open or name not in self._definitions:
            raise NotPlain  # it holds itself
        if name not in self._forms:
            self._open.add(name)
            self._forms[name] = self._form(self._definitions[name])
            self._open.discard(name)
        return self._forms[name]

    def _nested_model(self, node: Node) -> _Form:
        return _Form("", self._define("model", *self._model(node)), self._name(node["cls"]))

    def _model(self, node: Node) -> tuple[list[str], str]:
        """Return statements that look at a model, ``v``, and an expression for what is written of it."""
        self._count()
        config, inner = node.get("config", {}), node["schema"]
        know(node, MODEL_KEYS)
        know(inner, FIELDS_KEYS)
        unusual = [node.get("custom_init"), node.get("root_model"), inner.get("computed_fields")]
        if any(unusual) or config.keys() - CONFIG_KEYS or inner["type"] != "model-fields":
            raise NotPlain
        fields: dict[str, Node] = inner["fields"]
        required = frozenset(name for name in fields if fields[name]["schema"]["type"] != "default")
        lines = [
            f"if type(v) is not {self._name(node['cls'])}: fail()",
            "members = v.__dict__",
            f"given = v.{FIELDS_SET}",
            f"if not given >= {self._name(required)}: fail()",
        ]
        if is_open(node):
            lines.append(f"if v.{EXTRA}: fail()")
        variables = [f"v{index}" for index, _ in enumerate(fields)]
        for variable, (name, field) in zip(variables, fields.items(), strict=True):
            lines += [f"{variable} = members[{name!r}]", *self._field(name, field, variable)]
        names = [_name_of(name, field) for name, field in fields.items()]
        return lines, f"{self._name(_struct(names))}({', '.join(variables)})"

    def _field(self, name: str, field: Node, variable: str) -> list[str]:
        """Return statements that look at a member, and take it for UNSET where it is not written."""
        know(field, FIELD_KEYS)
        schema, excluded = field["schema"], field.get("serialization_exclude_if")
        if schema["type"] != "default":
            if excluded is not None:
                raise NotPlain
            return _checked(self._form(schema), variable)
        know(schema, {"default", "schema"})
        inner = schema["schema"]
        optional = inner.get("metadata", {}).get("optional")
        form = self._form(inner["json_schema"] if optional else inner)
        absent = [f"{name!r} not in given"]
        if excluded is not None:
            absent += [
                f"{variable} is {each!r}" for each, rule in ABSENT_IF.items() if rule is excluded
            ]
            if len(absent) == 1:
                raise NotPlain
        lines = [f"if {' or '.join(absent[::-1])}: {variable} = UNSET"]
        lines += [f"elif not ({form.test.format(variable)}): fail()"] if form.test else []
        return lines if form.test else [*lines, f"else: {variable} = {form.copy.format(variable)}"]


def _checked(form: _Form, variable: str) -> list[str]:
    if form.test:
        return [f"if not ({form.test.format(variable)}): fail()"]
    return [f"{variable} = {form.copy.format(variable)}"]


def _alternatives(node: Node) -> list[Node]:
    if node["type"] == "nullable":
        know(node, {"schema"})
        return [{"type": "none"}, *_alternatives(node["schema"])]
    if node["type"] != "union":
        return [node]
    know(node, {"auto_collapse", "choices", "mode"})
    return [inner for each in choices_of(node) for inner in _alternatives(each)]


def _name_of(name: str, field: Node) -> str:
    """Return what a member is called on the wire."""
    read = field.get("validation_alias", name)
    if not isinstance(read, str) or read != field.get("serialization_alias", name):
        raise NotPlain
    return read


def _struct(names: Sequence[str]) -> type:
    """Make the class of what is written for a model."""
    if len(set(names)) < len(names):
        raise NotPlain
    attributes = [f"a{index}" for index, _ in enumerate(names)]
    try:
        return defstruct(
            "Plain",
            [(each, object) for each in attributes],
            rename=dict(zip(attributes, names, strict=True)),
            gc=False,
        )
    except ValueError:  # a name that would have to be escaped
        raise NotPlain from None


def _fail() -> NoReturn:
    raise NotPlain
