import ast
import json
import keyword
import unicodedata
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Literal

import enkaku
import pydantic
import pytest
from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.planning.generic_types import in_words
from enkaku_codegen.planning.imported import IMPORTED
from enkaku_codegen.planning.names import (
    Namespace,
    attribute_name,
    class_name,
    constant_name,
    method_name,
    own_class_name,
    words,
)
from enkaku_codegen.planning.plan import ObjectPlan
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.reading.definition import Protocol, read_protocol
from generated.packages import accepts, an_error, imported, make_protocol, one_param
from golden.refresh import PACKAGES
from hypothesis import assume, given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("path", "method", "constant", "param"),
    [
        ("metrics/stream", "metrics_stream", "METRICS_STREAM", "MetricsStreamParam"),
        ("totalSamples", "total_samples", "TOTAL_SAMPLES", "TotalSamplesParam"),
        ("HTTPServer", "http_server", "HTTP_SERVER", "HttpServerParam"),
        ("user.get-by_ID:v2", "user_get_by_id_v2", "USER_GET_BY_ID_V2", "UserGetByIdV2Param"),
        ("sha256Hash", "sha256_hash", "SHA256_HASH", "Sha256HashParam"),
        ("3d/render", "x3d_render", "X3D_RENDER", "X3dRenderParam"),
        ("class", "class_", "CLASS", "ClassParam"),
        ("list", "list_", "LIST", "ListParam"),
        ("enkaku", "enkaku_", "ENKAKU", "EnkakuParam"),
        ("dt", "dt_", "DT", "DtParam"),
        ("uuid", "uuid", "UUID_", "UuidParam"),
        ("__init__", "init", "INIT", "InitParam"),
        ("$/cancelRequest", "cancel_request", "CANCEL_REQUEST", "CancelRequestParam"),
        ("日本/語", "日本_語", "日本_語", "X日本語Param"),
        ("/", "solidus", "SOLIDUS", "SolidusParam"),
    ],
)
def test_procedure_names_derive_from_path(
    path: str, method: str, constant: str, param: str
) -> None:
    named = (method_name(path), constant_name(path), class_name(path, "param"))
    assert named == (method, constant, param)


@pytest.mark.parametrize(
    ("key", "attribute"),
    [
        ("total_samples", "total_samples"),
        ("userIDs", "user_ids"),
        ("content-type", "content_type"),
        ("$id", "dollar_id"),
        ("_id", "under_id"),
        ("@type", "at_type"),
        ("#text", "hash_text"),
        ("__typename", "dunder_typename"),
        ("___x", "dunderunder_x"),
        ("_underX", "under_under_x"),
        (".x", "dot_x"),
        ("/users", "slash_users"),
        (" x", "space_x"),
        ("[x]", "bracket_x"),
        ("§x", "sectionsign_x"),
        ("x_", "x"),
        ("_class", "under_class"),
        ("$schema", "dollar_schema"),
        ("_", "under"),
        ("2nd", "x2nd"),
        ("+1", "plus_1"),
        ("-1", "minus_1"),
        ("", "empty"),
        ("*", "asterisk"),
        ("class", "class_"),
        ("None", "none"),
        ("match", "match"),
        ("type", "type"),
        ("model_config", "model_config_"),
        ("copy", "copy_"),
        ("json", "json_"),
        ("schema", "schema_"),
        ("str", "str_"),
        ("self", "self_"),
        ("größe", "größe"),
    ],
)
def test_attribute_name_derives_from_property(key: str, attribute: str) -> None:
    assert attribute_name(key) == attribute


@pytest.mark.parametrize(
    ("definition", "name"),
    [
        ("User", "User"),
        ("HTTPError", "HTTPError"),
        ("Snake_Case", "Snake_Case"),
        ("user", "User"),
        ("user-id", "UserId"),
        ("3d-point", "X3dPoint"),
        ("Model", "Model_"),
        ("Field", "Field_"),
        ("Unpack", "Unpack_"),
        ("Absent", "Absent_"),
        ("ABSENT", "ABSENT_"),
        ("UUID", "UUID_"),
        ("None", "None_"),
        ("日本", "X日本"),
        ("", "Empty"),
        ("_user", "UnderUser"),
        ("@User", "AtUser"),
    ],
)
def test_definition_name_is_kept_if_valid_class_name(definition: str, name: str) -> None:
    assert own_class_name(definition) == name


@given(
    st.lists(st.sampled_from("_$@#/.-+ [§"), max_size=4).map("".join),
    st.lists(st.sampled_from("_$@#/.-+ [§"), max_size=4).map("".join),
    st.sampled_from(["x", "under", "dunderX", "at_x", "1", "dollar_under_x"]),
    st.sampled_from(["x", "under", "dunderX", "at_x", "1", "dollar_under_x"]),
)
def test_attribute_names_with_other_marks_differ(
    one: str, other: str, name: str, another: str
) -> None:
    if one and other and (one, name) != (other, another):
        assert attribute_name(one + name) != attribute_name(other + another)
        assert own_class_name(one + name) != own_class_name(other + another)


@pytest.mark.parametrize("marked", ["_x", "@x", "$x"])
def test_marked_property_beside_plain_one_gets_own_names(marked: str) -> None:
    each = {"type": "object", "properties": {"a": {}}}
    plan = make_plan(one_param({"type": "object", "properties": {"x": each, marked: each}}))
    outer = plan.types[-1]
    assert isinstance(outer, ObjectPlan)
    assert [field.attribute for field in outer.fields] == ["x", attribute_name(marked)]
    assert len({each.name for each in plan.types}) == 3


def test_recursive_definition_does_not_shadow_builtin(tmp_path: Path) -> None:
    cause = {"type": "object", "properties": {"cause": {"$ref": "#/$defs/exception"}}}
    error = {"type": "object", "properties": {"cause": {"$ref": "#/$defs/cause"}}}
    warning = {"type": "object", "properties": {"cause": {"$ref": "#/$defs/cause"}}}
    definitions = {"cause": cause, "exception": error, "warning": warning}
    protocol = one_param({"$ref": "#/$defs/exception"}, definitions)
    with imported(protocol, tmp_path) as package:
        value = package.Exception_(cause=package.Cause(cause=package.Exception_()))
        data = package.ECHO.param.encode(value)
        assert (data, package.ECHO.param.decode(data)) == (b'{"cause":{"cause":{}}}', value)
        assert package.Warning is not Warning


GENERIC_TYPES = {
    "Def<number>": "DefNumber",
    "Def<(number|null)>": "DefNumberOrNull",
    "Def<number[]>": "DefNumberArray",
    "Def<(number|null)[]>": "DefArrayOfNumberOrNull",
    "Def<(number[]|null)>": "DefNumberArrayOrNull",
    "Def<string,number>": "DefStringAndNumber",
    "Def<Value,Ref>": "DefValueAndRef",
    "Def<Value<Ref>>": "DefValueOfRef",
    "Def<Value<Ref>[]>": "DefArrayOfValueOfRef",
    "Def<Value<A,B>,C>": "DefValueOfAWithBAndC",
    "Def<Value<A>,B,C>": "DefValueOfAAndBAndC",
    "Def<(Value<(string|null)>|Ref)>": "DefRefOrValueOfStringOrNull",
    "Def<Value<(string|null|Ref)>>": "DefValueOfStringOrNullOrRef",
    'Def<"angle">': "DefAngle",
    "Def<'opacity' | A & B>": "DefOpacityOrAPlusB",
    "$Def<null>": "DollarDefNull",
}


def test_definitions_named_by_generic_types_are_distinct() -> None:
    assert {each: own_class_name(each) for each in GENERIC_TYPES} == GENERIC_TYPES
    definitions = {
        each: {"type": "object", "properties": {f"key{index}": {}}}
        for index, each in enumerate(GENERIC_TYPES)
    }
    plan = make_plan(one_param(True, definitions))
    assert {each.name for each in plan.types} == {*GENERIC_TYPES.values()}
    with pytest.raises(ProtocolError, match="would have two things named DefNumber"):
        make_plan(replace(one_param(True, definitions), names=1))


@pytest.mark.parametrize(
    "name",
    [
        *("<A>", "A<>", "A<B", "A<B>>", "A<(B>", "A<(B)C>", "A<B|>", "A<,>", "A<B>C<D>", "A<[B]>"),
        *("A<B[>", "A<''>", "A<'>", "(" * 40 + "<>", "A" + "<B" * 40 + ">" * 40),
    ],
)
def test_name_that_is_no_generic_type_stays(name: str) -> None:
    assert in_words(name) == name


def test_names_option_1_keeps_old_names(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"_id": {}, "__type": {}, "$a": {}, "+1": {}}}
    file = {"names": 1, "$defs": {"_user": schema}, "procedures": {"a": {"type": "event"}}}
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps(file))
    (type_,) = make_plan(read_protocol(path)).types
    assert isinstance(type_, ObjectPlan)
    assert type_.name == "User"
    assert [each.attribute for each in type_.fields] == ["id", "type", "a", "plus_1"]


@pytest.mark.parametrize("value", [0, 3, True, "1", None])
def test_names_option_with_other_value_is_rejected(value: object, tmp_path: Path) -> None:
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps({"names": value, "procedures": {"a": {"type": "event"}}}))
    with pytest.raises(ProtocolError, match=r"protocol\.json:1: /names: expected"):
        read_protocol(path)


def test_attribute_name_never_shadows_model_attribute() -> None:
    public = {
        name
        for name in {*dir(enkaku.Model), *dir(type(enkaku.Model)), *dir(pydantic.BaseModel)}
        if not name.startswith("_")
    }
    assert "model_dump" in public
    assert {name for name in public if attribute_name(name) == name} == set()


def test_imported_name_is_never_given_again() -> None:
    given_again = [
        name
        for name in IMPORTED
        if name in {own_class_name(name), method_name(name), constant_name(name)}
    ]
    assert given_again == []


def test_generated_module_imports_registered_names_only() -> None:
    imports = {
        (alias.asname or alias.name)
        for path in PACKAGES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if not (isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__"))
    }
    assert imports
    assert imports - IMPORTED.keys() == set()


# Characters that mean something to somebody, among any others.
names = st.text(st.characters() | st.sampled_from("aAzZ019_-/$+. \"'\\\n{}<>()[]|&,"), max_size=12)


@given(names)
def test_names_are_always_identifiers(name: str) -> None:
    every = [
        attribute_name(name),
        method_name(name),
        constant_name(name),
        class_name(name, "param"),
        own_class_name(name),
    ]
    for each in every:
        assert each.isidentifier()
        assert not keyword.iskeyword(each)
        assert unicodedata.is_normalized("NFKC", each)
        assert not each.startswith("_")
    assert words(name)


@given(names, names)
def test_class_name_never_equals_attribute_name(one: str, other: str) -> None:
    assert own_class_name(one) not in {attribute_name(one), attribute_name(other)}


paths = st.text(st.sampled_from("abcXYZ019/-_."), min_size=1, max_size=8)
objects = st.dictionaries(paths, st.sampled_from(["string", "number"]), min_size=1, max_size=3)


@given(st.dictionaries(paths, objects, min_size=2, max_size=5), st.randoms())
def test_names_are_stable_when_procedures_are_added(procedures: dict, random: Random) -> None:
    document = {
        path: {
            "type": "request",
            "param": {
                "type": "object",
                "properties": {key: {"type": kind} for key, kind in properties.items()},
            },
        }
        for path, properties in procedures.items()
    }
    shuffled = list(document.items())
    random.shuffle(shuffled)
    one, *fewer = shuffled
    try:
        everything = make_plan(make_protocol(document))
    except ProtocolError:
        assume(False)
    assert make_plan(make_protocol(dict(shuffled))) == everything
    back = make_plan(make_protocol(dict(fewer), callbacks={one[0]: one[1]}))
    # The direction of a call names nothing.
    assert {each.name: each for each in back.types} == {
        each.name: each for each in everything.types
    }
    assert [each.method for each in back.callbacks] == [
        each.method for each in everything.procedures if each.procedure.name == one[0]
    ]
    without = make_plan(make_protocol(dict(fewer)))
    assert all(each in everything.types for each in without.types)
    kept = {each.procedure.name: each for each in everything.procedures}
    assert {each.procedure.name: each for each in without.procedures} == {
        name: each for name, each in kept.items() if name != one[0]
    }


def test_nested_type_names_derive_from_path() -> None:
    schema = {
        "type": "object",
        "properties": {
            "owner": {"type": "object", "properties": {"name": {"type": "string"}}},
            "tags": {"type": "array", "items": {"type": "object", "properties": {"a": {}}}},
            "by_id": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"a": {}}},
            },
            "level": {"enum": ["low", "middle", "high", "highest"]},
            "pair": {
                "type": "array",
                "prefixItems": [{"type": "string"}, {"type": "object", "properties": {"a": {}}}],
                "minItems": 2,
                "maxItems": 2,
            },
            "maybe": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {}}}]},
            "either": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"a": {}}}]},
        },
    }
    assert {each.name for each in make_plan(one_param(schema)).types} == {
        "EchoParam",
        "EchoParamOwner",
        "EchoParamTagsItem",
        "EchoParamByIdValue",
        "EchoParamLevel",
        "EchoParamPairItem2",
        "EchoParamMaybe",
        "EchoParamEither",
    }


def test_union_member_names_derive_from_discriminator() -> None:
    def branch(**fields: object) -> dict:
        properties = {key: {"const": value} for key, value in fields.items()}
        return {"type": "object", "properties": properties}

    tagged = {"oneOf": [branch(type="circle", a="x"), branch(type="square", a="x")]}
    titled = {"oneOf": [branch(a="x") | {"title": "by name"}, branch(b="x") | {"title": "by id"}]}
    bare = {"oneOf": [branch(a=1), branch(b=1)]}
    names = [
        [each.name for each in make_plan(one_param(schema)).types]
        for schema in (tagged, titled, bare)
    ]
    assert names == [
        ["EchoParamCircle", "EchoParamSquare", "EchoParam"],
        ["EchoParamByName", "EchoParamById", "EchoParam"],
        ["EchoParamA", "EchoParamB", "EchoParam"],
    ]


def test_error_names_derive_from_definition_or_code() -> None:
    shared = an_error("GONE", definition="Gone", pointer="/$defs/Gone")
    several = [
        an_error(code, definition="Limits", pointer="/$defs/Limits") for code in ("A_B", "C")
    ]
    plan = make_plan(
        make_protocol(
            {
                "math/divide": {
                    "type": "request",
                    "errors": [
                        an_error(
                            "DIVISION_BY_ZERO", data={"type": "object", "properties": {"n": {}}}
                        )
                    ],
                },
                "one": {"type": "request", "errors": [shared, *several]},
                "two": {"type": "request", "errors": [shared, an_error(None)]},
            }
        )
    )
    assert [each.name for each in plan.errors] == [
        "MathDivideDivisionByZero",
        "Gone",
        "LimitsAB",
        "LimitsC",
        "TwoError",
    ]
    assert [each.errors for each in plan.procedures] == [
        ("MathDivideDivisionByZero",),
        ("Gone", "LimitsAB", "LimitsC"),
        ("Gone", "TwoError"),
    ]
    assert [each.name for each in plan.types] == ["MathDivideDivisionByZeroData"]


@pytest.mark.parametrize(
    ("protocol", "pointer", "parts"),
    [
        (
            make_protocol({"foo/bar": {"type": "event"}, "foo-bar": {"type": "event"}}),
            "/foo~1bar",
            ["foo_bar", '"foo/bar"', '"foo-bar"', "/foo-bar"],
        ),
        (
            one_param({"type": "object", "properties": {"aB": {}, "a_b": {}}}),
            "/echo/param/properties/a_b",
            ["EchoParam", '"a_b"', '"aB"', "/echo/param/properties/aB"],
        ),
        (
            one_param(True, {"user": {"type": "string"}, "User": {"type": "string"}}),
            "/$defs/user",
            ['"user"', '"User"', "/$defs/User"],
        ),
        (
            one_param(True, {"ECHO": {"type": "string"}}),
            "/echo",
            ['the procedure "echo"', 'the definition "ECHO"'],
        ),
        (
            one_param(True, {"TestClient": {"type": "string"}}),
            "/$defs/TestClient",
            ["the client class", 'the definition "TestClient"'],
        ),
    ],
)
def test_name_collision_error_names_both(
    protocol: Protocol, pointer: str, parts: list[str]
) -> None:
    with pytest.raises(ProtocolError) as caught:
        make_plan(protocol)
    told = [issue for issue in caught.value.issues if issue.pointer == pointer]
    assert told, caught.value
    assert all(part in told[0].message for part in parts), told[0].message


def test_path_derived_type_name_yields_to_definition() -> None:
    branches = [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}},
            "required": ["kind"],
            "allOf": [{"$ref": f"#/$defs/Server{kind}"}],
        }
        for kind in ("Http", "Stdio")
    ]
    plain = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    definitions = {"ServerHttp": plain, "Server": {"anyOf": branches}, "EchoParam": plain}
    plan = make_plan(one_param(plain, definitions))
    assert {each.name for each in plan.types} == {
        *("ServerHttp", "Server", "ServerHttpInline", "ServerStdio"),
        *("EchoParam", "EchoParamInline"),
    }


def test_python_name_overrides_attribute_name() -> None:
    properties = {"_id": {"x-python-name": "ownId"}, "id": {"type": "string"}}
    (type_,) = make_plan(one_param({"type": "object", "properties": properties})).types
    assert isinstance(type_, ObjectPlan)
    assert [(each.key, each.attribute) for each in type_.fields] == [("_id", "ownId"), ("id", "id")]


@pytest.mark.parametrize(
    ("name", "such"),
    [
        ("own id", "own_id"),
        ("class", "class_"),
        ("_own", "own"),
        ("Own", "own"),
        ("model_config", "model_config_"),
        ("ﬁ", "fi"),
        ("a: int = __import__('os')", "a_int_import_os"),
        ("", "empty"),
        (5, "a"),
    ],
)
def test_python_name_invalid_is_rejected(name: object, such: str) -> None:
    schema = {"type": "object", "properties": {"a": {"x-python-name": name}}}
    with pytest.raises(ProtocolError) as caught:
        make_plan(one_param(schema))
    (issue,) = caught.value.issues
    assert issue.pointer == "/echo/param/properties/a/x-python-name"
    assert issue.message == (
        f'expected a name for an attribute, such as "{such}", '
        f"got {json.dumps(name, ensure_ascii=False)}"
    )


def test_python_name_is_kept_when_all_of_refines_property() -> None:
    base = {"type": "object", "properties": {"class": {"type": "string", "x-python-name": "kind"}}}
    more = {"allOf": [{"$ref": "#/$defs/Base"}], "properties": {"class": {"const": "more"}}}
    plan = make_plan(one_param(more, {"Base": base}))
    names = {
        each.name: each.fields[0].attribute for each in plan.types if isinstance(each, ObjectPlan)
    }
    assert names == {"Base": "kind", "EchoParam": "kind"}


def test_name_collisions_are_all_reported_at_once() -> None:
    schema = {"type": "object", "properties": {"aB": {}, "a_b": {}, "cD": {}, "c_d": {}}}
    with pytest.raises(ProtocolError) as caught:
        make_plan(make_protocol({"x": {"type": "event", "data": schema}, "X": {"type": "event"}}))
    assert len(caught.value.issues) == 3  # two pairs of attributes, one of methods


def test_namespace_reserve_taken_name_reports_one_issue() -> None:
    namespace = Namespace("here")
    assert list(namespace.reserve("a", "one", "/1")) == []
    assert list(namespace.reserve("b", "two", "/2")) == []
    (issue,) = namespace.reserve("a", "three", "/3")
    assert (issue.pointer, "one at /1" in issue.message) == ("/3", True)


def an_object(*required: str, **properties: object) -> dict:
    return {
        "type": "object",
        "properties": {**{key: {"type": "string"} for key in required}, **properties},
        "required": [*required],
    }


def planned(schema: object, definitions: dict | None = None, names: Literal[1, 2] = 2) -> set[str]:
    """Return the names of the types for a param, and for definitions."""
    # Copied, so that no two places have one object: a file never has.
    copied = json.loads(json.dumps([schema, definitions]))
    protocol = replace(one_param(*copied), names=names)
    return {each.name for each in make_plan(protocol).types}


def test_definition_without_type_names_class_after_itself() -> None:
    untyped = {"properties": {"id": {"type": "string"}}, "title": "Account"}
    schema = {"type": "array", "items": {"$ref": "#/$defs/Account"}}
    assert planned(schema, {"Account": untyped}) == {"Account", "AccountOrOther"}
    assert planned(untyped) == {"EchoParam", "EchoParamOrOther"}
    assert planned(schema, {"Account": untyped}, names=1) == {"Account", "AccountAccount"}
    both = {"Account": untyped, "AccountOrOther": True}
    assert planned(schema, both) == {"Account", "AccountObject", "AccountOrOther"}


def test_definition_without_type_accepts_what_its_schema_does(tmp_path: Path) -> None:
    untyped = {"properties": {"id": {"type": "string"}}}
    schema = {"type": "object", "properties": {"of": {"$ref": "#/$defs/Account"}}}
    with imported(one_param(schema, {"Account": untyped}), tmp_path) as package:
        slot = package.ECHO.param
        assert all(accepts(slot, {"of": each}) for each in ({"id": "a"}, {}, 1, None, ["a"], "a"))
        assert not accepts(slot, {"of": {"id": 1}})
        assert package.EchoParam(of=package.Account(id="a")).of.id == "a"


def test_only_class_of_unnamed_union_has_no_suffix() -> None:
    union = {"anyOf": [{"type": "string"}, an_object("a")]}
    assert planned({"type": "object", "properties": {"either": union}}) == {
        *("EchoParam", "EchoParamEither"),
    }
    assert planned(union) == {"EchoParam", "EchoParamObject"}
    titled = {"anyOf": [{"type": "string"}, an_object("a") | {"title": "EchoParam Pair"}]}
    assert planned(titled) == {"EchoParam", "EchoParamPair"}
    definitions = {"Acc": {"anyOf": [{"type": "string"}, an_object("a") | {"title": "Account"}]}}
    assert planned(True, definitions) == {"Acc", "AccAccount"}


@pytest.mark.parametrize(
    ("objects", "names"),
    [
        ([an_object("signal"), an_object("field")], ["Signal", "Field"]),
        ([an_object("a", "b"), an_object("a", c={})], ["B", "C"]),
        ([an_object("a"), an_object("a", "b"), an_object("b", c={})], ["A", "AB", "C"]),
        (
            [an_object(type={"const": "x"}), an_object("url"), an_object(type={"const": "y"})],
            ["X", "Url", "Y"],
        ),
        (
            [an_object("a", k={"const": "x"}), an_object("b", k={"const": "x"}), an_object(k={})],
            ["A", "B", "Object"],
        ),
        (
            [
                an_object("a", k={"const": "x"}),
                an_object("b", k={"const": "x"}),
                an_object(k={"enum": ["y", "z"]}),
            ],
            ["XA", "XB", "YOrZ"],
        ),
        ([an_object(a={"type": "string"}), an_object(a={"type": "null"})], ["Option1", "Option2"]),
        (
            [an_object("a"), an_object(a={"type": "null"}, b={}), an_object("a", c={})],
            ["A", "B", "C"],
        ),
    ],
)
def test_union_class_is_named_by_what_distinguishes_it(
    objects: list[dict], names: list[str]
) -> None:
    assert planned({"anyOf": objects}) == {"EchoParam", *(f"EchoParam{each}" for each in names)}


def test_union_names_that_collide_are_numbered() -> None:
    inner = an_object("x")
    objects = [an_object("a", b=inner), an_object("ab"), an_object("a_b", "c")]
    assert planned({"anyOf": [an_object("aB"), an_object("a", b=inner)]}) == {
        *("EchoParam", "EchoParamOption1", "EchoParamOption2", "EchoParamOption2B"),
    }
    assert len(planned({"anyOf": objects})) == 5


def test_property_next_to_choice_gets_one_class() -> None:
    schema = {
        **an_object(format=an_object("year")),
        "anyOf": [
            {"required": ["size"], "type": "object"},
            {"required": ["fill"], "type": "object"},
        ],
    }
    assert planned(schema) == {
        *("EchoParam", "EchoParamFill", "EchoParamFormat", "EchoParamSize"),
    }


def test_joined_definition_shares_its_property_types() -> None:
    base = an_object(owner=an_object("name"))
    joined = {"allOf": [{"$ref": "#/$defs/Base"}, an_object(more={"type": "string"})]}
    assert planned(joined, {"Base": base, "Above": joined}) == {
        *("Base", "BaseOwner", "Above", "EchoParam"),
    }
    assert len(planned(joined, {"Base": base, "Above": joined}, names=1)) == 6


def point(**more: object) -> dict:
    return an_object(coordinates={"type": "array", "items": {"type": "number"}}, **more)


@pytest.mark.parametrize(
    ("geometry", "count"),
    [
        (point() | {"title": "GeoJSON Point"}, 3),
        (point(type={"const": "Point"}), 3),
        (point(), 4),
    ],
    ids=["titled", "tagged", "equal by chance"],
)
def test_equal_classes_of_one_kind_become_one(geometry: dict, count: int) -> None:
    feature = an_object(geometry=geometry, kind={"enum": ["a", "b", "c", "d"]})
    schema = an_object(geometry=geometry, features={"type": "array", "items": feature})
    names = planned(schema)
    assert {"EchoParam", "EchoParamGeometry", "EchoParamFeaturesItem"} <= names
    assert len(names) == count + 1  # the alias of kind, too
    assert len(planned(schema, names=1)) == 5


def test_equal_classes_that_contain_others_become_one() -> None:
    inner = {**an_object("x"), "title": "Inner"}
    outer = {**an_object(inner=inner), "title": "Outer"}
    schema = an_object(a=outer, list={"type": "array", "items": outer}, z=inner)
    plan = make_plan(one_param(json.loads(json.dumps(schema))))
    types = {each.name: each for each in plan.types}
    assert types.keys() == {"EchoParam", "EchoParamA", "EchoParamZ"}
    held = types["EchoParamA"]
    assert isinstance(held, ObjectPlan)
    assert held.fields[0].schema == {"$ref": "EchoParamZ"}


@pytest.mark.parametrize(
    ("definitions", "names"),
    [
        (["io.k8s.api.core.v1.Pod"], ["Pod"]),
        (["io.k8s.api.core.v1.Pod", "Pod"], ["V1Pod", "Pod"]),
        (
            ["io.k8s.api.core.v1.Event", "io.k8s.api.events.v1.Event", "a.b.Pod"],
            ["CoreV1Event", "EventsV1Event", "Pod"],
        ),
        (["https://example.com/schemas/address.schema.json"], ["Address"]),
        (["https://a.com/x.json#/definitions/Order", "http://b.com/x.json"], ["Order", "X"]),
        (["urn:example:order"], ["UrnExampleOrder"]),
        (["core.Pod", "user.profile.get"], ["CorePod", "UserProfileGet"]),
    ],
)
def test_definition_named_by_url_gets_short_name(definitions: list[str], names: list[str]) -> None:
    schemas = {each: an_object("a") for each in definitions}
    assert planned(True, schemas) == {*names}
    assert planned(True, schemas, names=1) == {own_class_name(each, 1) for each in definitions}
