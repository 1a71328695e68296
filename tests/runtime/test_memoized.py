"""Ambiguous unions: values that several alternatives may accept, at each level, are read in time linear in their size."""

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import enkaku
import pytest
from enkaku import ABSENT, Absent, DecodeError, Slot
from enkaku.flow.fairness import TimeSlices
from enkaku.values import memoized, unions
from enkaku.values.unions import costly
from pydantic import Field, TypeAdapter, model_validator
from support import WITHIN, Sliced, line, raw_client

_SECONDS = (
    1  # many times what a value takes; one that is tried in all ways takes minutes, or forever
)


class One(enkaku.Model):
    a: "Each"
    k: Literal[1] | None = None


class Two(enkaku.Model):
    a: "Each"
    k: Literal[2] | None = None


class Three(enkaku.Model, extra="forbid"):
    a: "Each"
    k: Literal[3] | None = None


Each = One | Two | Three | int


class Arrays(enkaku.Model):
    items: "list[Arrays] | list[Others] | None" = None


class Others(enkaku.Model):
    items: "list[Others] | list[Arrays] | None" = None
    x: str | None = None


class Open(enkaku.Model):
    __pydantic_extra__: "dict[str, Open | Shut]"
    x: int | None = None


class Shut(enkaku.Model):
    __pydantic_extra__: "dict[str, Shut | Open]"
    x: str | None = None


class Pair(enkaku.Model):
    pair: "tuple[int, Pair | Trio] | None" = None
    map: "dict[str, Pair | Trio] | dict[str, Trio] | Absent" = ABSENT


class Trio(enkaku.Model):
    pair: "tuple[float, Trio | Pair] | Absent | None" = ABSENT
    map: "dict[str, Trio | Pair] | Absent" = ABSENT
    n: float | None = None


class Kind(enkaku.Model):
    kind: Literal["k"]
    of: "Annotated[Kind | Sort, Field(discriminator='kind')] | Loose | None" = None


class Sort(enkaku.Model):
    kind: Literal["s"]
    of: "list[Kind | Sort | Loose] | None" = None


class Loose(enkaku.Model):
    of: "Kind | Sort | Loose | None" = None
    kind: str | None = None


class Before(enkaku.Model):
    of: "Before | After | None" = None

    @model_validator(mode="before")
    @classmethod
    def rename(cls, value: Any) -> Any:
        if isinstance(value, dict) and "off" in value:
            return {"of": value["off"]}
        return value


class After(enkaku.Model):
    of: "After | Before | None" = None
    n: int = 0

    @model_validator(mode="after")
    def is_even(self) -> "After":
        if self.n % 2 or (self.of is not None and not isinstance(self.of, After | Before)):
            raise ValueError("an even number")
        return self


FORMS: list[Any] = [Each, Arrays | Others, Open | Shut, Pair | Trio, Kind | Sort | Loose]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read every value by memoized validation."""
    monkeypatch.setattr(unions, "_BUDGET", -1)
    monkeypatch.setattr(unions, "_LEVELS", 0)


def nested(depth: int, wrap: Any, value: Any = 1) -> Any:
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize("depth", [10, 50, 150])
@pytest.mark.parametrize(
    ("form", "wrap", "leaf", "wrong"),
    [
        (Each, lambda v: {"a": v}, 1, "x"),
        (list[Each], lambda v: {"a": v}, 1, []),
        (Open | Shut, lambda v: {"p": v}, {}, {"x": []}),
        (Kind | Sort | Loose, lambda v: {"of": v}, {}, {"kind": 1}),
    ],
)
def test_ambiguous_union_is_read_in_linear_time(
    form: Any, wrap: Any, leaf: object, wrong: object, depth: int
) -> None:
    slot = Slot[Any]("slot", form)
    in_list = form == list[Each]
    for last, accepted in ((leaf, True), (wrong, False)):
        value = nested(depth, wrap, last)
        text = json.dumps([value] * 3 if in_list else value, separators=(",", ":")).encode()
        since = time.thread_time()
        if accepted:
            assert slot.encode(slot.decode(text)) == text
        else:
            with pytest.raises(DecodeError) as caught:
                slot.decode(text)
            assert len(caught.value.problems) == 1
            assert caught.value.problems[0].pointer.count("/") >= depth
        assert time.thread_time() - since < _SECONDS


@pytest.mark.parametrize("depth", [8, 90])
def test_ambiguous_arrays_are_read_in_linear_time(depth: int) -> None:
    slot = Slot[Any]("slot", Arrays | Others)
    value = nested(depth, lambda v: {"items": [v, {}]}, {})
    since = time.thread_time()
    assert json.loads(slot.encode(slot.decode(json.dumps(value).encode()))) == value
    with pytest.raises(DecodeError):
        slot.decode(json.dumps(nested(depth, lambda v: {"items": [v]}, {"items": 1})).encode())
    assert time.thread_time() - since < _SECONDS


def random_value(random: random.Random, depth: int) -> Any:
    if depth == 0 or random.random() < 0.15:
        return random.choice([1, 2.0, 1.5, None, "k", "s", True, [], {}, 2**70, 1e300])
    if random.random() < 0.2:
        return [random_value(random, depth - 1) for _ in range(random.randrange(3))]
    names = ["a", "k", "items", "x", "pair", "map", "n", "kind", "of", "p", "q"]
    chosen = random.sample(names, random.randrange(1, 4))
    return {name: random_value(random, depth - 1) for name in chosen}


def valid_value(random: random.Random, form: Any, depth: int) -> Any:
    """Return a value that is valid, but for a tenth of its parts."""
    if depth == 0 or random.random() < 0.1:
        return random_value(random, 1)
    inner = lambda: valid_value(random, form, depth - 1)  # noqa: E731 # short
    k = {"k": random.choice([1, 2, 3])} if random.random() < 0.5 else {}
    made: dict[int, Any] = {
        0: lambda: {"a": random.choice([1, inner()]), **k},
        1: lambda: {"items": [inner() for _ in range(random.randrange(3))]},
        2: lambda: {"p": inner(), "x": random.choice([1, "x"])},
        3: lambda: {"pair": [1, inner()], "map": {"q": inner()}},
        4: lambda: {
            "of": random.choice([inner(), [inner()], None]),
            "kind": random.choice(["k", "s", "t"]),
        },
    }
    return made[FORMS.index(form)]()


def outcome(slot: Slot[Any], text: bytes) -> Any:
    try:
        return slot.decode(text)
    except DecodeError:
        return "rejected"


@pytest.mark.parametrize("form", FORMS)
def test_memoized_read_equals_read_by_pydantic(
    form: Any, always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, chance = Slot[Any]("slot", form), random.Random(7)
    kinds = set[bool]()
    for index in range(400):
        make = valid_value if index % 3 else lambda chance, _, depth: random_value(chance, depth)
        text = json.dumps(make(chance, form, chance.randrange(1, 5))).encode()
        read = outcome(slot, text)
        monkeypatch.setattr(unions, "_BUDGET", 10**9)
        expected = outcome(slot, text)
        monkeypatch.setattr(unions, "_BUDGET", -1)
        assert read == expected, text
        kinds.add(read == "rejected")
    assert kinds == {False, True}


def test_memoized_read_keeps_digits_of_numbers(always: None) -> None:
    slot = Slot[Any]("slot", Each)
    text = b'{"a":{"a":12345678901234567890123,"b":[1e400]}}'
    with pytest.raises(DecodeError, match="number"):
        slot.decode(text)
    assert slot.decode(b'{"a":{"a":12345678901234567890123}}').a.a == 12345678901234567890123
    assert slot.decode(b'{"a":{"a":1.0}}').a.a == 1
    with pytest.raises(DecodeError, match="/a/a: expected integer"):
        slot.decode(b'{"a":{"a":9007199254740992.5}}')


def test_memoized_read_calls_validators_of_program() -> None:
    schema: Any = TypeAdapter(Before | After).core_schema
    routed = unions.route(schema)
    assert routed is not None
    read = memoized.MemoizedValidator(schema, routed).validate_json
    value = read(b'{"of":{"of":{"off":{"n":2}},"n":2},"n":4}', strict=True)
    assert value == After(n=4, of=After(n=2, of=Before(of=After(n=2))))
    assert isinstance(read(b'{"n":1,"of":{"n":2}}', strict=True), Before)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            b'{"a":{"k":3,"a":1,"z":1}}',
            '/a/z: expected no property "z", got 1',
        ),
        (b'{"a":{"a":{"k":1}}}', '/a/a: expected property "a", got object with 1 property'),
        (b'{"a":{"a":true}}', "/a/a: expected object or integer, got true"),
        (b'"x"', 'expected object or integer, got "x"'),
        (b"[]", "expected object or integer, got empty array"),
    ],
)
def test_memoized_read_reports_location(text: bytes, told: str, always: None) -> None:
    with pytest.raises(DecodeError) as caught:
        Slot[Any]("slot", Each).decode(text)
    assert str(caught.value) == f"slot: {told}"


def test_ambiguous_union_is_rejected_beyond_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = Slot[Any]("slot", list[Each])
    text = json.dumps([nested(150, lambda v: {"a": v})] * 100).encode()
    since = time.thread_time()
    with pytest.raises(DecodeError, match="within the validation budget"):
        slot.decode(text)
    assert time.thread_time() - since < _SECONDS
    monkeypatch.setattr(memoized, "_STEPS", 10**9)
    assert len(slot.decode(text)) == 100


def test_unambiguous_nested_union_is_read_in_parts() -> None:
    slot = Slot[Any]("slot", list[Each])
    text = json.dumps([nested(150, lambda v: {"a": v, "k": 2})] * 4).encode()
    before = costly.reads
    assert len(slot.decode(text)) == 4
    assert costly.reads > before


@pytest.mark.parametrize("strings", [b"x" * 1_000, b"x" * 9_000_000], ids=["short", "long"])
def test_ambiguous_union_beyond_budget_tries_little(
    strings: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = Slot[Any]("slot", list[Each])
    compared = 0
    may_match = unions.Shape.may_match

    def count(self: Any, properties: Any) -> bool:
        nonlocal compared
        compared += 1
        return may_match(self, properties)

    monkeypatch.setattr(unions.Shape, "may_match", count)
    text = b'[{"z":"%b","a":1},%b]' % (strings, b",".join([b'{"a":{"a":{"a":1}}}'] * 2_000))
    with pytest.raises(DecodeError, match="within the validation budget"):
        slot.decode(text)
    assert compared < 30_000  # each takes less than 1 us


def test_union_with_long_string_is_read_within_two_others() -> None:
    slot = Slot[Any]("slot", list[Each])
    text = b'[{"k":1,"a":{"k":2,"a":1,"z":"%b"}}]' % (b"x" * 9_000_000)
    assert slot.decode(text)[0].a.k == 2


def test_wide_union_is_told_apart_by_constant() -> None:
    made = {
        f"C{i}": type(
            f"C{i}",
            (enkaku.Model,),
            {
                "__module__": __name__,
                "__annotations__": {"kind": Literal[i], "of": "Wide | None"},
                "of": None,
            },
        )
        for i in range(100)
    }
    globals()["Wide"] = wide = eval("|".join(made), made)  # noqa: S307 # the names above
    slot = Slot[Any]("slot", wide)
    slot.decode(b'{"kind":1}')
    tried = 0
    may_match = unions.Shape.may_match

    def count(self: Any, properties: Any) -> bool:
        nonlocal tried
        tried += 1
        return may_match(self, properties)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unions.Shape, "may_match", count)
        assert slot.decode(b'{"kind":99,"of":{"kind":7,"of":{"kind":98}}}').of.of.kind == 98
    assert tried == 3


def test_slices_defer_handles_rest_in_next_iteration() -> None:
    handled: list[list[int]] = []

    def handle(batch: Any) -> None:
        handled.append([batch[0]])
        slices.defer(batch[1:])

    async def main() -> list[int]:
        nonlocal slices
        slices = TimeSlices[int](Sliced(handle))
        slices.add([*range(100)])
        counts = [len(handled)]
        while slices.waiting:
            await asyncio.sleep(0)
            counts.append(len(handled))
        return counts

    slices: TimeSlices[int]
    assert asyncio.run(main()) == [*range(1, 101)]
    assert handled == [[number] for number in range(100)]


TREE: enkaku.Request[Any, int] = enkaku.Request("tree", param=Each, result=int)
PING = enkaku.Request[int, int]("ping", param=int, result=int)


class Trees(enkaku.Handler):
    def __init__(self) -> None:
        self.read = 0

    def __routes__(self) -> tuple[enkaku.Route, ...]:
        return enkaku.Route.request(TREE, self.tree), enkaku.Route.request(PING, self.ping)

    async def tree(self, param: Any) -> int:
        self.read += 1
        return 1

    async def ping(self, param: int) -> int:
        return self.read


async def test_costly_values_of_one_packet_let_other_client_through(socket_path: Path) -> None:
    handler, value = Trees(), nested(12, lambda v: {"a": v})
    TREE.param.decode(json.dumps(value).encode())
    async with enkaku.serve_unix(handler, socket_path):
        async with enkaku.connect_unix(socket_path) as other, raw_client(socket_path) as peer:
            await other.request(PING, 0)
            lines = [line(typ="request", rid=str(n), prc="tree", prm=value) for n in range(40)]
            peer.send_bytes(b"".join(lines))
            seen = set[int]()
            async with asyncio.timeout(WITHIN):
                while handler.read < 40:
                    seen.add(await other.request(PING, 0))
                    assert len(seen) < 1000
                for _ in range(40):
                    assert b'"result"' in await peer.reader.readline()
    assert len(seen) > 3  # the other client was served between them


def test_wide_ambiguous_union_shares_parts_of_value(monkeypatch: pytest.MonkeyPatch) -> None:
    width, depth = 10, 50
    union = " | ".join(f"A{index}" for index in range(width))
    names = {
        f"A{index}": type(
            f"A{index}",
            (enkaku.Model,),
            {
                "__module__": __name__,
                "__annotations__": {"k": f"Literal[{index}] | None", "of": f"{union} | None"},
                "k": None,
                "of": None,
            },
        )
        for index in range(width)
    }
    globals().update(names)
    slot = Slot[Any]("slot", eval(union, names))  # noqa: S307 # the names above
    monkeypatch.setattr(memoized, "_STEPS", 2 * depth * (width + 1))
    text = json.dumps(nested(depth, lambda v: {"of": v}, {})).encode()
    assert json.loads(slot.encode(slot.decode(text))) == json.loads(text)


class Maybe(enkaku.Model):
    anything: object = ABSENT
    nothing: Absent | None = ABSENT
    of: "Maybe | Must | Absent" = ABSENT


class Must(enkaku.Model):
    of: "Maybe | Must | Absent" = ABSENT
    n: int


def test_memoized_read_keeps_properties_optional(always: None) -> None:
    read = Slot[Any]("slot", Maybe | Must).decode(b'{"of":{"of":{"n":1}},"x":1}')
    assert isinstance(read, Maybe)
    assert read.anything is read.nothing is ABSENT
    assert isinstance(read.of, Maybe)
    assert isinstance(read.of.of, Must)
