"""What ``pydantic_internals`` assumes of pydantic holds for the installed version, and a broken assumption is reported."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import enkaku
import pydantic
import pytest
from enkaku._json import DEPTH_MAX
from enkaku.values import encoder as plain
from enkaku.values import pydantic_internals, pydantic_problems
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import (
    CoreSchema,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
    from_json,
    to_json,
)
from typing_extensions import TypeAliasType

ROOT = Path(__file__).parent.parent.parent


class Colour(Enum):
    RED = "red"


class Plain:
    """What pydantic has built nothing for."""


class Cat(BaseModel):
    kind: Literal["cat"] = Field(alias="theKind")


class Dog(BaseModel):
    kind: Literal["dog"] = Field(alias="theKind")


class Leaf(enkaku.Model, extra="forbid"):
    size: Annotated[float, Field(ge=0, alias="theSize")]
    names: list[str] | None = None
    more: dict[str, int | None] | enkaku.Absent = enkaku.ABSENT


class Tree(BaseModel):
    children: "list[Tree]"
    leaf: Leaf | None = None


Json = TypeAliasType("Json", "int | list[Json] | None")
Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
INT: Mapping[str, object] = {"type": "int"}
STR: Mapping[str, object] = {"type": "str"}
FORMS: list[tuple[Any, Mapping[str, object]]] = [
    (bool, {"type": "bool"}),
    (None, {"type": "none"}),
    (object, {"type": "any"}),
    (Any, {"type": "any"}),
    (Literal[1, "a"], {"type": "literal", "expected": [1, "a"]}),
    (Annotated[int, Field(ge=0, lt=5)], {"type": "int", "ge": 0, "lt": 5}),
    (Annotated[float, Field(gt=0, le=5)], {"type": "float", "gt": 0, "le": 5}),
    (Annotated[float, Field(multiple_of=2)], {"type": "float", "multiple_of": 2}),
    (
        Annotated[str, Field(min_length=1, max_length=2, pattern="a")],
        {"type": "str", "min_length": 1, "max_length": 2, "pattern": "a"},
    ),
    (
        Annotated[list[int], Field(min_length=1)],
        {"type": "list", "items_schema": INT, "min_length": 1},
    ),
    (
        Annotated[dict[str, int], Field(max_length=2)],
        {"type": "dict", "keys_schema": STR, "values_schema": INT, "max_length": 2},
    ),
    (tuple[int, ...], {"type": "tuple", "items_schema": [INT], "variadic_item_index": 0}),
    (tuple[int, str], {"type": "tuple", "items_schema": [INT, STR]}),
    (int | None, {"type": "nullable", "schema": INT}),
    (int | str, {"type": "union", "choices": [INT, STR]}),
    (Pet, {"type": "tagged-union", "discriminator": [["kind"], ["theKind"]]}),
]


def core_of(form: Any) -> dict[str, Any]:
    return cast(dict[str, Any], TypeAdapter[Any](form).core_schema)


def accepts(schema: Any, text: bytes) -> bool:
    try:
        SchemaValidator(schema).validate_json(text, strict=True)
    except ValidationError:
        return False
    return True


def error_of(schema: Any, text: bytes) -> Any:
    """The first error of a value that a schema rejects."""
    with pytest.raises(ValidationError) as caught:
        SchemaValidator(schema).validate_json(text, strict=True)
    return caught.value.errors(include_url=False)[0]


# Schemas.


@pytest.mark.parametrize(("form", "expected"), FORMS, ids=[str(form) for form, _ in FORMS])
def test_pydantic_annotation_gives_expected_core_schema(
    form: Any, expected: Mapping[str, object]
) -> None:
    made = core_of(form)
    assert {name: made[name] for name in expected} == expected
    silent = pydantic_internals.SILENT_KEYS | {"from_attributes"}
    assert made.keys() - expected.keys() - silent <= {"choices"}


def test_pydantic_recursive_alias_gives_definitions() -> None:
    root, definitions = pydantic_internals.definitions_of(core_of(Json))
    assert root["type"] == "definition-ref"
    (real,) = definitions.values()
    assert definitions == {root["schema_ref"]: real}
    assert real["type"] == "nullable"
    number, items = pydantic_internals.choices_of(real["schema"])
    assert (number, items["items_schema"]) == (INT, root)
    assert pydantic_internals.definitions_of(core_of(int)) == (INT, {})


@pytest.mark.parametrize(
    "form", [*(form for form, _ in FORMS), Json, Leaf, Tree, list[Leaf | Tree]]
)
def test_pydantic_nested_schemas_are_under_known_keys(form: Any) -> None:
    under = {*pydantic_internals.CHILD_KEYS, *pydantic_internals.CHILDREN_KEYS}
    under |= {"definitions", "fields", "keys_schema"}

    def keys_with_schemas(node: dict[str, Any]) -> Iterator[str]:
        for name, inner in node.items():
            if name in {*pydantic_internals.OPAQUE_KEYS, "function"}:
                continue
            for each in schemas_in(inner):
                yield name
                yield from keys_with_schemas(each)

    assert set(keys_with_schemas({"schema": core_of(form)})) <= under


def schemas_in(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict) and isinstance(part.get("type"), str):
        yield part
    elif isinstance(part, dict | list | tuple):
        for each in part.values() if isinstance(part, dict) else part:
            yield from schemas_in(each)


FIELDS = core_schema.model_fields_schema({})
SAMPLES: dict[str, tuple[Any, bytes]] = {
    "bool": (core_schema.bool_schema(), b"true"),
    "bytes": (core_schema.bytes_schema(), b'"a"'),
    "dataclass": (
        core_schema.dataclass_schema(Plain, core_schema.dataclass_args_schema("a", []), []),
        b"{}",
    ),
    "date": (core_schema.date_schema(), b'"2024-01-31"'),
    "datetime": (core_schema.datetime_schema(), b'"2024-01-31T00:00:00"'),
    "decimal": (core_schema.decimal_schema(), b'"1.5"'),
    "dict": (core_schema.dict_schema(), b"{}"),
    "enum": (core_schema.enum_schema(Colour, [*Colour]), b'"red"'),
    "float": (core_schema.float_schema(), b"1.5"),
    "frozenset": (core_schema.frozenset_schema(), b"[]"),
    "int": (core_schema.int_schema(), b"1"),
    "is-instance": (core_schema.is_instance_schema(int), b""),
    "list": (core_schema.list_schema(), b"[]"),
    "model": (core_schema.model_schema(Plain, FIELDS), b"{}"),
    "model-fields": (FIELDS, b"{}"),
    "none": (core_schema.none_schema(), b"null"),
    "set": (core_schema.set_schema(), b"[]"),
    "str": (core_schema.str_schema(), b'"a"'),
    "tagged-union": (core_schema.tagged_union_schema({"a": FIELDS}, "kind"), b'{"kind":"a"}'),
    "time": (core_schema.time_schema(), b'"00:00:00"'),
    "timedelta": (core_schema.timedelta_schema(), b'"P1D"'),
    "tuple": (core_schema.tuple_schema([]), b"[]"),
    "typed-dict": (core_schema.typed_dict_schema({}), b"{}"),
    "url": (core_schema.url_schema(), b'"http://a"'),
    "uuid": (core_schema.uuid_schema(), b'"00000000-0000-0000-0000-000000000000"'),
}
VALUES: dict[str, tuple[bytes, ...]] = {
    "array": (b"[]",),
    "boolean": (b"true",),
    "null": (b"null",),
    "number": (b"1", b"1.5"),
    "object": (b"{}", b'{"kind":"a"}'),
    "string": (b'"a"', b'"1"', b'""'),
}


@pytest.mark.parametrize("kind", sorted(pydantic_internals.NEVER_NULL))
def test_pydantic_schema_not_nullable_rejects_null(kind: str) -> None:
    schema, text = SAMPLES[kind]
    assert schema["type"] == kind
    assert not accepts(schema, b"null")
    assert not text or accepts(schema, text)


@pytest.mark.parametrize("kind", sorted(pydantic_internals.JSON_TYPES))
def test_pydantic_schema_accepts_one_json_type(kind: str) -> None:
    schema, text = SAMPLES[kind]
    own = pydantic_internals.JSON_TYPES[kind]
    assert schema["type"] == kind
    assert accepts(schema, text)
    others = [each for json_type, texts in VALUES.items() if json_type != own for each in texts]
    assert [each for each in others if accepts(schema, each)] == []


@pytest.mark.parametrize(
    ("outer", "key"),
    [
        (core_schema.with_default_schema(core_schema.int_schema(), default=1), "schema"),
        (
            core_schema.no_info_after_validator_function(str, core_schema.int_schema()),
            "schema",
        ),
        (
            core_schema.json_or_python_schema(core_schema.int_schema(), core_schema.any_schema()),
            "json_schema",
        ),
    ],
)
def test_pydantic_wrapper_schema_reads_json_as_inner_one(outer: Any, key: str) -> None:
    assert pydantic_internals.INNER_KEYS[outer["type"]] == key
    assert outer[key] == INT
    assert [each for each in (b"1", b"1.5", b"null", b'"1"') if accepts(outer, each)] == [b"1"]


@pytest.mark.parametrize("form", [IPv4Address, IPv6Address])
def test_pydantic_address_schema_has_its_class(form: type) -> None:
    assert pydantic_internals.address_class(core_of(form)) is form
    assert pydantic_internals.address_class(core_of(int)) is None


def test_pydantic_union_choice_labels_are_left_out() -> None:
    schema = core_schema.union_schema([(core_schema.int_schema(), "a"), core_schema.str_schema()])
    assert pydantic_internals.choices_of(cast(Any, schema)) == [INT, STR]


def test_pydantic_model_is_open_closed_or_neither() -> None:
    class Open(BaseModel, extra="allow"):
        pass

    class Closed(BaseModel, extra="forbid"):
        pass

    for model, is_open, is_closed in (
        (Open, True, False),
        (Closed, False, True),
        (Cat, False, False),
    ):
        schema = core_of(model)
        assert pydantic_internals.is_open(schema) is is_open
        assert pydantic_internals.is_closed(schema) is is_closed


def test_pydantic_fields_are_found_inside_model_validators() -> None:
    class Inside(BaseModel):
        a: int

        @pydantic.model_validator(mode="before")
        @classmethod
        def as_it_is(cls, value: Any) -> Any:
            return value

    wrapped = core_of(Inside)
    model = wrapped["schema"] if wrapped["type"] != "model" else wrapped
    assert model["type"] == "model"
    fields = pydantic_internals.fields_of(model)
    assert fields is not None
    assert fields["fields"]["a"]["schema"] == INT
    assert pydantic_internals.fields_of(core_of(pydantic.RootModel[int])) is None


def test_pydantic_generated_models_are_encoded_by_fast_path() -> None:
    def leave(_: Leaf) -> bytes:
        raise AssertionError

    Leaf.model_rebuild()
    write = plain.make_encoder(pydantic_internals.codec_of(Leaf)[0], leave)
    assert write(Leaf(size=1.5, names=["a"])) == b'{"theSize":1.5,"names":["a"]}'


# Attributes and parameters.


def test_pydantic_instance_separates_fields_and_extra() -> None:
    class Open(BaseModel, extra="allow", frozen=True):
        a: int = 1
        b: int = 2

    value = Open.model_validate({"a": 3, "c": 4})
    assert vars(value) == {"a": 3, "b": 2}
    assert getattr(value, pydantic_internals.FIELDS_SET) == {"a", "c"}
    assert getattr(value, pydantic_internals.EXTRA) == {"c": 4}
    assert pydantic_internals.extra_of(value) == {"c": 4}
    assert pydantic_internals.extra_of(Cat(theKind="cat")) == {}
    pydantic_internals.replace_extra(value, {"d": 5}, {"d"})
    assert value.model_dump() == {"a": 3, "b": 2, "d": 5}
    assert value.model_dump(exclude_unset=True) == {"d": 5}


def test_pydantic_class_is_complete_once_built() -> None:
    class Late(BaseModel, defer_build=True):
        a: int

    assert not pydantic_internals.is_complete(Late)
    Late.model_rebuild()
    assert pydantic_internals.is_complete(Late)
    schema, validator, serializer = pydantic_internals.codec_of(Late)
    assert schema["type"] == "model"
    assert serializer.to_json(validator.validate_json(b'{"a":1}')) == b'{"a":1}'


def test_pydantic_unshared_validator_uses_changed_schema() -> None:
    def negative(value: int) -> int:
        return -value

    class Inner(BaseModel):
        a: int

    inner = dict(core_of(Inner))
    changed = core_schema.no_info_after_validator_function(negative, core_schema.int_schema())
    fields = {"a": core_schema.model_field(changed)}
    inner["schema"] = core_schema.model_fields_schema(fields)
    schema = core_schema.list_schema(cast(CoreSchema, inner))
    assert pydantic_internals.unshared_validator(schema).validate_json(b'[{"a":1}]') == [
        Inner(a=-1)
    ]


def test_pydantic_class_resolves_names_at_first_use() -> None:
    class First(enkaku.Model):
        later: "Later"

    class Later(enkaku.Model):
        a: int

    value = First.model_validate_json(b'{"later":{"a":1}}')  # pydantic builds the class
    assert value == First(later=Later(a=1))


def test_pydantic_class_resolves_names_at_rebuild() -> None:
    class First(enkaku.Model):
        later: "Later"

    class Later(enkaku.Model):
        a: int

    assert First.model_rebuild()
    assert First.model_rebuild() is None
    assert First(later=Later(a=1)).later.a == 1


# Errors.

ERRORS: list[tuple[Any, bytes, str]] = [
    (core_schema.bool_schema(), b"1", "bool_type"),
    (core_schema.bytes_schema(), b"1", "bytes_type"),
    (core_schema.dict_schema(), b"1", "dict_type"),
    (core_schema.float_schema(allow_inf_nan=False), b"NaN", "finite_number"),
    (core_schema.float_schema(), b'"1"', "float_type"),
    (core_schema.int_schema(gt=1), b"1", "greater_than"),
    (core_schema.int_schema(ge=2), b"1", "greater_than_equal"),
    (core_schema.int_schema(), b'"1"', "int_type"),
    (core_schema.int_schema(lt=1), b"1", "less_than"),
    (core_schema.int_schema(le=0), b"1", "less_than_equal"),
    (core_schema.list_schema(), b"1", "list_type"),
    (core_schema.literal_schema(["a"]), b"1", "literal_error"),
    (core_schema.model_schema(Plain, FIELDS), b"1", "model_type"),
    (core_schema.int_schema(multiple_of=2), b"1", "multiple_of"),
    (core_schema.none_schema(), b"1", "none_required"),
    (core_schema.str_schema(pattern="b"), b'"a"', "string_pattern_mismatch"),
    (core_schema.str_schema(max_length=0), b'"a"', "string_too_long"),
    (core_schema.str_schema(min_length=2), b'"a"', "string_too_short"),
    (core_schema.str_schema(), b"1", "string_type"),
    (core_schema.list_schema(max_length=0), b"[1]", "too_long"),
    (core_schema.dict_schema(min_length=1), b"{}", "too_short"),
    (core_schema.tuple_schema([]), b"1", "tuple_type"),
    (core_schema.tagged_union_schema({"a": FIELDS}, "kind"), b'{"kind":"b"}', "union_tag_invalid"),
    (core_schema.tagged_union_schema({"a": FIELDS}, "kind"), b"{}", "union_tag_not_found"),
]
# These come of values of this program, and of instances.
OTHER_ERRORS = {"model_attributes_type", "recursion_loop", "string_unicode"}


@pytest.mark.parametrize(("schema", "text", "kind"), ERRORS, ids=[each[2] for each in ERRORS])
def test_pydantic_error_has_context_of_its_explanation(schema: Any, text: bytes, kind: str) -> None:
    error = error_of(schema, text)
    assert error["type"] == kind
    assert error["loc"] == ()
    assert pydantic_internals.explains_itself(kind, error.get("ctx", {}))


def test_pydantic_error_types_with_explanation_exist() -> None:
    explained = {kind for _, _, kind in ERRORS} | OTHER_ERRORS
    assert pydantic_problems._TEXTS.keys() | pydantic_internals._CONTEXTS.keys() <= explained


def test_pydantic_length_error_tells_object_from_array() -> None:
    error = error_of(core_schema.dict_schema(min_length=1), b"{}")
    assert error["ctx"]["field_type"] == "Dictionary"


def test_pydantic_union_error_location_has_choice_label() -> None:
    union = core_schema.union_schema([(core_schema.int_schema(), "a"), (FIELDS, "b")])
    assert error_of(core_schema.list_schema(union), b'["c"]')["loc"] == (0, "a")


def test_pydantic_tagged_union_error_location_has_tag() -> None:
    fields = core_schema.model_fields_schema(
        {"x": core_schema.model_field(core_schema.int_schema())}
    )
    names: list[list[int | str]] = [["kind"], ["theKind"]]  # the first that is there decides
    union = core_schema.tagged_union_schema({"a": fields}, names)
    assert error_of(union, b'{"theKind":"a"}')["loc"] == ("a", "x")
    first = error_of(union, b'{"kind":"a","theKind":"b"}')
    assert first["loc"] == ("a", "x")


def test_pydantic_error_without_context_uses_own_text() -> None:
    translator = pydantic_problems._Translator(5, python=False)
    detail: Any = {"type": "less_than", "loc": (), "msg": "Input should be less", "input": 5}
    assert translator.fault(detail).expected == "less"
    detail["ctx"] = {"lt": 3}
    assert translator.fault(detail).expected == "less than 3"
    untold: Any = {"type": "union_tag_invalid", "loc": (), "msg": "no such tag", "input": 5}
    assert translator.fault(untold).expected == "no such tag"


# JSON.


def test_pydantic_reader_rejects_nesting_over_limit() -> None:
    schema = core_schema.any_schema()
    assert accepts(schema, b"[" * DEPTH_MAX + b"1" + b"]" * DEPTH_MAX)
    error = error_of(schema, b"[" * (DEPTH_MAX + 1) + b"1" + b"]" * (DEPTH_MAX + 1))
    assert error["type"] == "json_invalid"
    assert error["ctx"]["error"].startswith(pydantic_internals.TOO_DEEP)


def test_pydantic_reader_rejects_numbers_over_limit() -> None:
    schema = core_schema.int_schema()
    assert accepts(schema, b"1" * pydantic_internals.DIGITS_MAX)
    error = error_of(schema, b"1" * (pydantic_internals.DIGITS_MAX + 1))
    assert error["type"] == "json_invalid"
    assert error["ctx"]["error"].startswith(pydantic_internals.NUMBER_OUT_OF_RANGE)


def test_pydantic_reader_rejects_lone_surrogates() -> None:
    assert error_of(core_schema.any_schema(), rb'"\ud800"')["type"] == "json_invalid"


def test_pydantic_reader_keeps_every_digit() -> None:
    number = 10**40 + 1
    assert from_json(str(number)) == number
    assert SchemaValidator(core_schema.int_schema(strict=True)).validate_json(str(number)) == number


def test_pydantic_writer_replaces_lone_surrogate_in_name() -> None:
    write = SchemaSerializer(core_schema.dict_schema(core_schema.str_schema())).to_json
    assert write({"\ud800": 1}) == b'{"%b":1}' % (pydantic_internals.REPLACEMENT * 3)


def test_pydantic_writer_writes_nan_and_infinity() -> None:
    assert to_json([float("nan"), float("inf"), -float("inf")]) == b"[NaN,Infinity,-Infinity]"


# What each program checks.

ASSUMPTIONS = (*pydantic_internals.AT_IMPORT, *pydantic_internals.AT_FIRST_CLASS)


@pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=[each.says for each in ASSUMPTIONS])
def test_pydantic_assumption_holds(assumption: pydantic_internals.Assumption) -> None:
    assert assumption.holds()


def lose_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop additional properties that are called as a field is in Python, as pydantic 2.13 does."""
    real = core_schema.model_fields_schema

    def fields_schema(fields: Any, **_: Any) -> Any:
        return real(fields, extras_schema=core_schema.int_schema(gt=2))

    monkeypatch.setattr(core_schema, "model_fields_schema", fields_schema)


def take_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(schema: CoreSchema, config: Any = None) -> SchemaValidator:
        return SchemaValidator(schema, config)

    monkeypatch.setattr(pydantic_internals, "SchemaValidator", without)


def look_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        cast(Any, BaseModel.model_rebuild).__func__.__kwdefaults__, "_parent_namespace_depth", 3
    )


def change_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = core_of(pydantic_internals._example())
    field = pydantic_internals.fields_of(schema)
    assert field is not None
    monkeypatch.setitem(field["fields"]["number"], "validation_alias", ["Number"])


def ignore_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pydantic_internals, "_example", lambda: Leaf)


FAKES: list[tuple[Callable[[pytest.MonkeyPatch], None], Any, str]] = [
    (lose_extras, pydantic_internals.AT_IMPORT, "pydantic keeps every property"),
    (take_no_option, pydantic_internals.AT_IMPORT, "pydantic keeps every property"),
    (look_elsewhere, pydantic_internals.AT_IMPORT, "how pydantic looks for names"),
    (change_alias, pydantic_internals.AT_FIRST_CLASS, "what pydantic makes of a class"),
    (ignore_changes, pydantic_internals.AT_FIRST_CLASS, "what pydantic makes of a class"),
    (ignore_changes, pydantic_internals.AT_FIRST_CLASS[1:], "uses a schema as it was changed"),
]


@pytest.mark.parametrize(
    ("fake", "assumptions", "says"), FAKES, ids=[f"{each[0].__name__}-{each[2]}" for each in FAKES]
)
def test_pydantic_broken_assumption_names_version_and_fix(
    fake: Callable[[pytest.MonkeyPatch], None],
    assumptions: Any,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pydantic_internals.require_internals(assumptions)
    fake(monkeypatch)
    with pytest.raises(enkaku.IncompatibleRuntime) as caught:
        pydantic_internals.require_internals(assumptions)
    said = str(caught.value)
    assert f"does not work with pydantic {pydantic.VERSION}," in said
    assert says in said
    oldest = pydantic_internals.OLDEST
    assert said.endswith(f"pip install 'pydantic>={oldest},<{pydantic.VERSION}'")


@pytest.mark.parametrize("version", ["2.9.12", "2.14.1", "2.13.0b1"])
def test_pydantic_older_version_asks_for_newer_one(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pydantic_internals, "VERSION", version)
    broken = pydantic_internals.Assumption("nothing", lambda: False)
    with pytest.raises(enkaku.IncompatibleRuntime, match=r"pydantic 2.*'pydantic>=[0-9.]+'$"):
        pydantic_internals.require_internals((broken,))


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_pydantic_broken_assumption_fails_import() -> None:
    ran = run(
        "import pydantic\n"
        "defaults = pydantic.BaseModel.model_rebuild.__func__.__kwdefaults__\n"
        "del defaults['_types_namespace']\n"
        "import enkaku\n"
    )
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("enkaku.errors.IncompatibleRuntime: ")
    assert pydantic.VERSION in last


def test_pydantic_broken_assumption_fails_first_class() -> None:
    ran = run(
        "import enkaku, enkaku.values.pydantic_internals as internals\n"
        "class A(enkaku.Model):\n"
        "    a: int\n"
        "internals.codec_of = lambda model: ({'type': 'other'}, None, None)\n"
        "A(a=1)\n"
    )
    assert ran.returncode == 1
    assert "enkaku.errors.IncompatibleRuntime: " in ran.stderr.splitlines()[-1]


def test_pydantic_import_builds_no_class_and_first_is_checked() -> None:
    ran = run(
        "import json, sys, enkaku, enkaku.values.pydantic_internals as internals\n"
        "class A(enkaku.Model):\n"
        "    a: int\n"
        "def seen():\n"
        "    return 'pydantic.plugin._loader' in sys.modules, internals._example.cache_info().currsize\n"
        "before = seen()\n"
        "A(a=1)\n"
        "print(json.dumps([before, seen()]))\n"
    )
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == [[False, 0], [True, 1]]


def test_pydantic_oldest_version_matches_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = [each for each in project["dependencies"] if each.startswith("pydantic")]
    assert requirement == f"pydantic>={pydantic_internals.OLDEST},<3"
