"""What people are told when a value is refused: where, what was expected, what was found."""

import datetime as dt
import json
import math
from fractions import Fraction
from typing import Annotated, Any, Literal

import enkaku
import pytest
from enkaku import Checked, DecodeError, EncodeError, Problem, Slot
from hypothesis import given
from json_values import text_of, values
from pydantic import Field, create_model
from support import ASK, TALK, Serving, raw_client


class Circle(enkaku.Model, extra="forbid"):
    kind: Literal["circle"]
    radius: Annotated[float, Field(gt=0)]


class Square(enkaku.Model, extra="forbid"):
    kind: Literal["square"]
    side: float


class Drawing(enkaku.Model):
    shape: Annotated[Circle | Square | str, Field(alias="theShape")]
    sizes: dict[str, int] = Field(default_factory=dict)
    corner: tuple[float, float] | None = None
    more: "Drawing | None" = None


Short = Annotated[str, Field(min_length=2, max_length=3)]
SHAPES = {
    "anyOf": [
        {
            "properties": {
                "kind": {"const": kind},
                size: {"type": "number", "exclusiveMinimum": 0},
            },
            "required": ["kind", size],
            "additionalProperties": False,
            "type": "object",
        }
        for kind, size in (("circle", "radius"), ("square", "side"))
    ]
}


def problems(form: Any, text: bytes) -> list[tuple[str, str, str]]:
    with pytest.raises(DecodeError) as caught:
        Slot[Any]("slot", form).decode(text)
    return [(each.pointer, each.expected, each.found) for each in caught.value.problems]


@pytest.mark.parametrize(
    ("form", "text", "expected", "found"),
    [
        (int, b'"a"', "integer", '"a"'),
        (int, b"1.5", "integer", "1.5"),
        (float, b"null", "number", "null"),
        (str, b"true", "string", "true"),
        (bool, b"1", "boolean", "1"),
        (None, b"0", "null", "0"),
        (list[int], b"{}", "array", "empty object"),
        (dict[str, int], b"[1]", "object", "array with 1 item"),
        (Circle, b'["a","b"]', "object", "array with 2 items"),
        (Short, b'"a"', "string of at least 2 characters", '"a"'),
        (Short, b'"abcd"', "string of at most 3 characters", '"abcd"'),
        (Annotated[str, Field(pattern="^b")], b'"a"', "string that matches ^b", '"a"'),
        (Annotated[int, Field(ge=5)], b"4", "integer, 5 or more", "4"),
        (Annotated[float, Field(gt=0.5, lt=9)], b"9", "number, more than 0.5, less than 9", "9"),
        (Annotated[float, Field(multiple_of=0.1)], b"0.25", "number, a multiple of 0.1", "0.25"),
        (
            Annotated[list[int], Field(max_length=1)],
            b"[1,2]",
            "at most 1 item",
            "array with 2 items",
        ),
        (Annotated[list[int], Field(min_length=1)], b"[]", "at least 1 item", "empty array"),
        (
            Annotated[dict[str, int], Field(min_length=2)],
            b"{}",
            "at least 2 properties",
            "empty object",
        ),
        (tuple[int, int], b"[1]", "at least 2 items", "array with 1 item"),
        (tuple[int, int], b"[1,2,3]", "at most 2 items", "array with 3 items"),
        (Literal["a", "it's"], b'"c"', '"a" or "it\'s"', '"c"'),
        (Literal[1, True, "x"], b"false", '1 or true or "x"', "false"),
        (int | str, b"null", "integer or string", "null"),
        (int | list[int] | None, b'"a"', "integer or array", '"a"'),
        (object, b"1e999", "number", "Infinity"),
        (str, b'["%b"]' % (b"x" * 1000), "string", "array with 1 item"),
        (int, b'"%b"' % (b"x" * 1000), "integer", "string of 1000 characters"),
        (str, b"1" + b"0" * 1000, "string", "long number"),
    ],
)
def test_problem_names_expected_and_found_value(
    form: Any, text: bytes, expected: str, found: str
) -> None:
    assert problems(form, text) == [("", expected, found)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            b'{"theShape":{"kind":"circle"}}',
            ("/theShape", 'property "radius"', "object with 1 property"),
        ),
        (
            b'{"theShape":{"kind":"circle","radius":-1}}',
            ("/theShape/radius", "number, more than 0", "-1"),
        ),
        (
            b'{"theShape":{"kind":"circle","radius":1,"side":2}}',
            ("/theShape/side", 'no property "side"', "2"),
        ),
        (b'{"theShape":{"kind":"oval"}}', ("/theShape/kind", '"circle" or "square"', '"oval"')),
        (b'{"theShape":5}', ("/theShape", "object or string", "5")),
        (b'{"shape":"a"}', ("", 'property "theShape"', "object with 1 property")),
        (b'{"theShape":"","sizes":{"int":"x"}}', ("/sizes/int", "integer", '"x"')),
        (
            b'{"theShape":"","sizes":{"a/b~":[]}}',
            ("/sizes/a~1b~0", "integer", "empty array"),
        ),
        (b'{"theShape":"","corner":[1,null]}', ("/corner/1", "number", "null")),
        (b'{"theShape":"","extra":[{"deep":1e999}]}', ("/extra/0/deep", "number", "Infinity")),
        (
            b'{"theShape":"","more":{"theShape":"","more":{"theShape":null}}}',
            ("/more/more/theShape", "object or string", "null"),
        ),
        (b'{"theShape":"","\\ud800":NaN}', ("", "JSON", "")),
        (
            b'{"theShape":"","sizes":{"\\ud800":"\\udfff"}}',
            ("/sizes/\ud800", "integer", '"\\udfff"'),
        ),
    ],
)
def test_problem_pointer_names_location(text: bytes, expected: tuple[str, str, str]) -> None:
    found = problems(Drawing, text)
    assert [each[:2] for each in found] == [expected[:2]]
    assert found[0][2].replace("\udfff", "\\udfff").startswith(expected[2])


class Cat(enkaku.Model):
    kind: Annotated[Literal["cat"], Field(alias="theKind")]
    lives: int


class Dog(enkaku.Model):
    kind: Annotated[Literal["dog", "lives"], Field(alias="theKind")]
    lives: Literal[1]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Owner(enkaku.Model):
    pet: Pet | None = None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"theKind":"cat","lives":"9","cat":1}', ("/lives", "integer", '"9"')),
        (b'{"theKind":"lives","lives":2}', ("/lives", "1", "2")),
        (b'{"theKind":"cow"}', ("/theKind", '"cat" or "dog" or "lives"', '"cow"')),
        (b'{"lives":1}', ("", 'property "theKind"', "object with 1 property")),
        (b"[]", ("", "object", "empty array")),
    ],
)
def test_problem_pointer_omits_union_choice(text: bytes, expected: tuple[str, str, str]) -> None:
    assert problems(Pet, text) == [expected]
    assert problems(Owner, b'{"pet":%b}' % text) == [(f"/pet{expected[0]}", *expected[1:])]


def test_discriminator_uses_wire_name() -> None:
    slot: Slot[list[Cat | Dog]] = Slot("pets", list[Pet])
    text = b'[{"theKind":"dog","lives":1,"kind":"cat"}]'
    assert isinstance(slot.decode(text)[0], Dog)
    assert slot.encode(slot.decode(text)) == text
    assert slot.encode([Cat(kind="cat", lives=9)]) == b'[{"theKind":"cat","lives":9}]'


def test_problems_at_different_locations_are_all_reported() -> None:
    assert problems(Drawing, b'{"sizes":{"a":1.5},"corner":{}}') == [
        ("", 'property "theShape"', "object with 2 properties"),
        ("/sizes/a", "integer", "1.5"),
        ("/corner", "array", "empty object"),
    ]


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        (SHAPES, b'{"kind":"circle","radius":0}', ("/radius", "more than 0", "0")),
        (SHAPES, b'{"kind":"oval"}', ("/kind", '"circle" or "square"', '"oval"')),
        (SHAPES, b"[]", ("", "object", "empty array")),
        ({"oneOf": [{}, {"type": "null"}]}, b"null", ("", "value that fits exactly one alternative", "null")),
        ({"type": ["null", "integer"]}, b"[]", ("", "integer or null", "empty array")),
        ({"const": {"a": 1}}, b"1", ("", '{"a": 1}', "1")),
        ({"enum": list("abcdefgh")}, b"1", ("", 'one of "a", "b", "c", "d", "e", "f" and 2 more', "1")),
        ({"minLength": 2, "pattern": "b"}, b'"a"', ("", "string of at least 2 characters and string that matches b", '"a"')),
        ({"uniqueItems": True}, b"[1,1]", ("", "unique items", "array with 2 items")),
        ({"contains": {"const": 1}}, b"[]", ("", 'items that "contains" accepts', "empty array")),
        ({"minProperties": 1}, b"{}", ("", "at least 1 property", "empty object")),
        ({"maxItems": 1}, b"[1,2]", ("", "at most 1 item", "array with 2 items")),
        ({"not": {}}, b"1", ("", 'value that "not" does not exclude', "1")),
        ({"properties": {"a": False}}, b'{"a":1}', ("/a", 'no property "a"', "1")),
        ({"unevaluatedProperties": False}, b'{"a":1}', ("/a", 'no property "a"', "1")),
        ({"additionalProperties": False}, b'{"a":1}', ("", "object without properties", "object with 1 property")),
        ({"prefixItems": [{}], "items": False}, b"[1,2]", ("/1", "no additional item", "2")),
        ({"propertyNames": {"maxLength": 1}}, b'{"ab":1}', ("", "property names: string of at most 1 character", "object with 1 property")),
        ({"dependentRequired": {"a": ["b"]}}, b'{"a":1}', ("", 'property "b"', "object with 1 property")),
        ({"items": {"multipleOf": 2}}, b"[2,3]", ("/1", "a multiple of 2", "3")),
        (False, b"1", ("", "no value", "1")),
    ],
)  # fmt: skip
def test_problem_of_schema_has_same_texts(
    schema: Any, text: bytes, expected: tuple[str, str, str]
) -> None:
    assert problems(Checked(object, schema), text) == [expected]


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (object, {"a": [{1, 2}]}, ("/a/0", "JSON value", "Python set")),
        (object, dt.date(2000, 1, 1), ("", "JSON value", "Python date")),
        (object, [1, {2: 3}], ("/1", "string as property name", "2")),
        (object, [math.nan], ("/0", "number", "NaN")),
        (dict[str, float], {"a": math.inf}, ("/a", "number", "Infinity")),
        (list[int], (1,), ("", "array", "array with 1 item")),
        (Circle, {"kind": "circle"}, ("", "instance of Circle", "object with 1 property")),
        (list[Circle], [5], ("/0", "instance of Circle", "5")),
        (
            Drawing,
            Drawing.model_construct(shape=Circle.model_construct(kind="circle", radius=-1)),
            ("/theShape/radius", "number, more than 0", "-1"),
        ),
        (
            Drawing,
            Drawing(shape="").model_copy(update={"sizes": {"a": "b"}}),
            ("/sizes/a", "integer", '"b"'),
        ),
    ],
)
def test_problem_of_encoded_value_has_same_texts(
    form: Any, value: Any, expected: tuple[str, str, str]
) -> None:
    with pytest.raises(EncodeError) as caught:
        Slot[Any]("slot", form).encode(value)
    assert [(p.pointer, p.expected, p.found) for p in caught.value.problems] == [expected]


def test_decode_error_text_is_self_contained() -> None:
    slot: Slot[list[Circle]] = Slot("draw param", list[Circle])
    with pytest.raises(DecodeError) as caught:
        slot.decode(b'[{"kind":"circle","radius":"one"}]')
    assert str(caught.value) == 'draw param: /0/radius: expected number, more than 0, got "one"'
    with pytest.raises(DecodeError) as caught:
        slot.decode(b"{}")
    assert str(caught.value) == "draw param: expected array, got empty object"
    assert str(Problem("", "a value")) == "expected a value"


def test_problems_beyond_ten_are_counted() -> None:
    class Many(enkaku.Model, extra="forbid"):
        """An object without members of its own."""

    text = b"{" + b",".join(b'"a%d":1' % number for number in range(500)) + b"}"
    with pytest.raises(DecodeError) as caught:
        Slot[Many]("many", Many).decode(text)
    assert (len(caught.value.problems), caught.value.more) == (10, 490)
    assert str(caught.value).endswith("; and 490 more")
    assert len(str(caught.value)) < 1000


def test_problems_of_long_list_stop_at_first() -> None:
    with pytest.raises(DecodeError) as caught:
        Slot[list[str]]("list", list[str]).decode(b"[%b1]" % (b"1," * 100_000))
    assert [problem.pointer for problem in caught.value.problems] == ["/0"]


def test_problem_text_of_long_name_is_cut() -> None:
    name = "x" * 100_000
    with pytest.raises(DecodeError) as caught:
        Slot[Circle]("c", Circle).decode(b'{"kind":"circle","radius":1,"%b":1}' % name.encode())
    assert caught.value.problems[0].pointer == f"/{name}"
    assert len(str(caught.value)) < 1000


@given(values)
def test_problems_of_any_value_can_be_printed(value: object) -> None:
    for form in (Drawing, Circle | Square, list[Drawing], Checked(object, SHAPES)):
        slot: Slot[Any] = Slot("slot", form)
        try:
            slot.decode(text_of(value))
        except DecodeError as error:
            str(error).encode()
            for each in error.problems:
                assert len(each.found) <= 60
                assert "Input should" not in each.expected


async def test_call_error_hides_validation_details_by_default() -> None:
    loose = enkaku.Request[str, int]("ask", param=str, result=int)
    async with enkaku.connect_memory(Serving(ask=ASK)) as connection:  # type: ignore[arg-type] # never called
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(loose, "one")
    assert caught.value.message == "Invalid protocol message"


async def test_explain_refusals_sends_validation_details(socket_path: Any) -> None:
    loose = enkaku.Request[object, int]("ask", param=object, result=int)

    async def talk(_: int, channel: enkaku.ServerChannel[int, int]) -> int:
        return len([item async for item in channel])

    handler = Serving(ask=ASK, talk=talk)  # type: ignore[arg-type] # one is never called
    async with enkaku.connect_memory(handler, explain_refusals=True) as connection:
        for value, why in (("one", '"one"'), ("x" * 10_000, "string of 10000 characters")):
            with pytest.raises(enkaku.CallError) as caught:
                await connection.request(loose, value)
            assert caught.value.code == "EK08"
            assert caught.value.message == (
                f"Invalid protocol message: expected integer, got {why}"
            )
    async with enkaku.serve_unix(handler, socket_path, explain_refusals=True):
        async with raw_client(socket_path) as peer:
            peer.send(typ="channel", rid="a", prc=TALK.name, prm=5)
            peer.send(typ="send", prc=TALK.name, rid="a", val=[])
            message = (await peer.read())["msg"]
    assert message == "Invalid protocol message: expected integer, got empty array"
    async with enkaku.serve_tcp(handler, explain_refusals=True) as server:
        async with enkaku.connect_tcp("127.0.0.1", server.port) as connection:
            with pytest.raises(enkaku.CallError, match="integer"):
                await connection.request(loose, None)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (
            {"typ": "stream", "rid": "a", "prc": "void"},
            "there is no stream 'void'; it is a request",
        ),
        ({"typ": "request", "rid": "a", "prc": "nothing"}, "there is no request 'nothing'"),
        ({"typ": "request", "rid": "a", "prc": "void", "x": 1}, "unknown field `x`"),
    ],
    ids=["another kind", "unknown", "invalid"],
)
@pytest.mark.parametrize("explain", [True, False])
async def test_explain_refusals_says_why_call_is_rejected(
    socket_path: Any, payload: dict[str, Any], reason: str, explain: bool
) -> None:
    async with enkaku.serve_unix(Serving(), socket_path, explain_refusals=explain):
        async with raw_client(socket_path) as peer:
            peer.send(**payload)
            reply = await peer.read()
    assert (reply["rid"], reply["code"]) == ("a", "EK08")
    if explain:
        assert reply["msg"].startswith("Invalid protocol message: ")
        assert reason in reply["msg"]
    else:
        assert reply["msg"] == "Invalid protocol message"


async def test_explain_refusals_bounds_details() -> None:
    class Closed(enkaku.Model, extra="forbid"):
        """An object without members."""

    strict = enkaku.Request[Closed, int]("wide", param=Closed, result=int)
    loose = enkaku.Request[object, int]("wide", param=object, result=int)

    class Wide(Serving):
        def __routes__(self) -> tuple[enkaku.Route, ...]:
            return (enkaku.Route.request(strict, self._serve),)

        async def _serve(self, _: Closed) -> int:
            raise AssertionError

    async with enkaku.connect_memory(Wide(), explain_refusals=True) as connection:
        with pytest.raises(enkaku.CallError) as caught:
            await connection.request(loose, {f"{'long' * 50}{n}\ud800": n for n in range(99)})
    assert 500 < len(caught.value.message) <= 1000


def test_decode_error_text_is_one_line_for_any_property_name() -> None:
    name = "a\n2026 ERROR \x1b[31m\u2028\u202e\x85\ud800\U000e0001"
    with pytest.raises(DecodeError) as caught:
        Slot("slot", Circle).decode(
            json.dumps({"kind": "circle", "radius": 1, name: name}).encode()
        )
    (told,) = caught.value.problems
    assert told.pointer == f"/{name}"
    assert str(caught.value).isprintable()
    assert r"/a\u000a2026 ERROR \u001b[31m\u2028\u202e\u0085\ud800\U000e0001: " in str(caught.value)
    assert "é 日" in str(Problem("/é 日", "string"))


def test_problem_with_many_expectations_is_cut() -> None:
    fields: dict[str, Any] = {f"f{index}": (int, ...) for index in range(500)}
    wide = create_model("Wide", __base__=enkaku.Model, **fields)
    told = problems(wide, b"{}")
    assert told[0][1].startswith('property "f0" and property "f1" and ')
    assert told[0][1].endswith(" and 490 more")
    texts = Slot[Any]("slot", Literal[tuple(f"t{index}" for index in range(50))])  # type: ignore[misc] # made here
    with pytest.raises(DecodeError, match="and 44 more"):
        texts.decode(b'""')


@pytest.mark.parametrize(
    ("form", "value", "told"),
    [
        (float, "\ud800", r'expected number, got "\ud800"'),
        (object, Fraction(1, 2), "expected JSON value, got Python Fraction"),
        (int, 10**5000, "expected number of at most 4300 digits, got longer number"),
    ],
    ids=["surrogate", "fraction", "digits"],
)
def test_problem_of_unusual_value_describes_it(form: Any, value: object, told: str) -> None:
    with pytest.raises(EncodeError) as caught:
        Slot[Any]("slot", form).encode(value)
    assert str(caught.value) == f"slot: {told}"
