"""Members that may be left out: absent stays absent, and null stays null."""

import copy
import pickle
from typing import Annotated, Any, Literal

import enkaku
import pytest
from enkaku import ABSENT, Absent, DecodeError, EncodeError, Slot
from pydantic import Field, ValidationError


class Message(enkaku.Model, extra="forbid"):
    room: str | None = None
    topic: str | Absent | None = ABSENT
    data: object = ABSENT
    note: object = None
    retries: int = 3
    urgent: bool = False
    parent: "Message | None" = None
    tags: list[str] = Field(default_factory=list)
    level: Annotated[int | None, Field(alias="logLevel", ge=0)] = None
    kind: Literal["a"] | None = None


class Required(enkaku.Model):
    room: str | None


class Open(enkaku.Model):
    x_axis: Annotated[int, Field(alias="xAxis")] = 0


MESSAGE: Slot[Message] = Slot("message", Message)


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"room":"a"}',
        b'{"topic":null}',
        b'{"topic":"a"}',
        b'{"data":null}',
        b'{"data":false}',
        b'{"data":{"deep":[null]}}',
        b'{"note":0}',
        b'{"note":false}',
        b'{"retries":3}',
        b'{"retries":4}',
        b'{"urgent":false}',
        b'{"tags":[]}',
        b'{"logLevel":0}',
        b'{"kind":"a"}',
        b'{"parent":{"topic":null,"parent":{"retries":3}}}',
    ],
)
def test_model_round_trips_unchanged(text: bytes) -> None:
    assert MESSAGE.encode(MESSAGE.decode(text)) == text
    every: Slot[list[Message] | dict[str, object]] = Slot("list", list[Message] | dict[str, object])
    assert every.encode(every.decode(b"[%b]" % text)) == b"[%b]" % text
    within: Slot[object] = Slot("any", object)
    assert within.encode([MESSAGE.decode(text)]) == b"[%b]" % text


@pytest.mark.parametrize("name", ["room", "note", "parent", "logLevel", "retries", "kind", "tags"])
def test_optional_property_null_is_rejected_unless_nullable(name: str) -> None:
    with pytest.raises(DecodeError) as caught:
        MESSAGE.decode(b'{"%b":null}' % name.encode())
    assert [problem.pointer for problem in caught.value.problems] == [f"/{name}"]
    assert caught.value.problems[0].found == "null"


def test_optional_properties_absent_have_defaults() -> None:
    message = MESSAGE.decode(b"{}")
    assert (message.room, message.topic, message.data) == (None, ABSENT, ABSENT)
    assert (message.retries, message.urgent, message.tags) == (3, False, [])
    assert message == Message()


def test_optional_property_given_as_none_or_absent_is_omitted() -> None:
    message = Message(room=None, topic=ABSENT, data=ABSENT, note=None, parent=None, level=None)
    assert message == Message()
    assert MESSAGE.encode(message) == b"{}"
    assert message.model_dump_json(exclude_unset=True) == "{}"


def test_optional_property_equal_to_default_is_encoded() -> None:
    assert MESSAGE.encode(Message(retries=3, urgent=False)) == b'{"retries":3,"urgent":false}'
    assert MESSAGE.encode(Message(topic=None, data=None)) == b'{"topic":null,"data":null}'


def test_model_copies_are_encoded_as_they_are() -> None:
    message = Message(topic=None, retries=4)
    unpickled = pickle.loads(pickle.dumps(message))  # noqa: S301 # our own
    for same in (message.model_copy(), copy.deepcopy(message), unpickled):
        assert MESSAGE.encode(same) == b'{"topic":null,"retries":4}'
    changed = message.model_copy(update={"topic": ABSENT, "room": None, "retries": 3})
    assert MESSAGE.encode(changed) == b'{"retries":3}'


def test_required_property_may_be_null_but_not_absent() -> None:
    slot: Slot[Required] = Slot("required", Required)
    assert slot.encode(slot.decode(b'{"room":null}')) == b'{"room":null}'
    with pytest.raises(DecodeError, match="room"):
        slot.decode(b"{}")
    with pytest.raises(ValidationError):
        Required.model_validate({})


def test_absent_is_falsy_singleton() -> None:
    assert not ABSENT
    assert repr(ABSENT) == "ABSENT"
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT  # noqa: S301 # our own
    assert copy.deepcopy(ABSENT) is ABSENT
    assert Absent(ABSENT) is ABSENT


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (object, ABSENT),
        (object, [ABSENT]),
        (object, {"a": ABSENT}),
        (Absent, ABSENT),
        (str | Absent, ABSENT),
        (list[str | Absent], [ABSENT]),
        (Message, Message.model_construct(room=ABSENT)),
        (Message, Message.model_construct(tags=[ABSENT])),
        (Open, Open.model_construct(None, more=ABSENT)),
    ],
)
def test_absent_is_never_encoded(form: Any, value: Any) -> None:
    with pytest.raises(EncodeError):
        Slot[Any]("slot", form).encode(value)


@pytest.mark.parametrize("text", [b'"ABSENT"', b'["ABSENT"]'])
def test_absent_is_never_decoded(text: bytes) -> None:
    for form in (object, Absent, str | Absent, list[str | Absent]):
        try:
            value = Slot[Any]("slot", form).decode(text)
        except DecodeError:
            continue
        assert value in ("ABSENT", ["ABSENT"])
    assert MESSAGE.decode(b'{"topic":"ABSENT"}').topic == "ABSENT"


def test_additional_property_named_like_attribute_round_trips() -> None:
    slot: Slot[Open] = Slot("open", Open)
    for text in (b'{"xAxis":1,"x_axis":"a"}', b'{"xAxis":1,"x_axis":2}'):
        value = slot.decode(text)
        assert slot.encode(value) == text
        nested: Slot[list[Open]] = Slot("nested", list[Open])
        assert nested.encode([value]) == b"[%b]" % text


def test_properties_are_encoded_in_class_order_then_additional() -> None:
    class Ordered(enkaku.Model):
        b: int
        a: int

    slot: Slot[Ordered] = Slot("ordered", Ordered)
    assert slot.encode(slot.decode(b'{"z":0,"a":1,"y":0,"b":2}')) == b'{"b":2,"a":1,"z":0,"y":0}'
