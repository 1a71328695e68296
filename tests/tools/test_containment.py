"""Containment of schemas: three deciders, their agreement, and their limits."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from enkaku._json import load_text
from enkaku.values.json_schema import Checked, CompiledSchema
from enkaku_codegen.containment import Verdict, canonical, contains, process, proof, search
from enkaku_codegen.containment.difference import without_promised
from enkaku_codegen.containment.formats import PATTERNS
from enkaku_codegen.containment.pair import Pair, make_side
from enkaku_codegen.containment.patterns import includes, marks, samples
from enkaku_codegen.reading.options import FORMATS
from generated.packages import accepts, imported, one_param
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schema.fuzz.words import PATTERNS as FUZZ_PATTERNS
from slow import slow_but
from tools.random_pairs import RandomPair, random_pairs

DATA = Path(__file__).parent / "data"
PAIRS: list[dict[str, Any]] = json.loads((DATA / "pairs.json").read_text())
NAMES = [each["name"] for each in PAIRS]
INTEGERS = {"type": "array", "items": {"type": "integer"}}


def schemas_of(pair: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``contains``: definitions stand beside their schemas."""
    found: dict[str, Any] = {}
    for side in ("writer", "reader"):
        schema = dict(pair[side])
        found |= {f"{side}_definitions": schema.pop("$defs", {}), side: schema}
    return found


def made_pair(arguments: Mapping[str, Any]) -> Pair:
    return Pair(
        *(
            make_side(arguments[side], arguments[f"{side}_definitions"], {})
            for side in ("writer", "reader")
        )
    )


def compared(writer: Any, reader: Any, **others: Any) -> Verdict:
    none: dict[str, Any] = {"writer_definitions": {}, "reader_definitions": {}}
    return contains(writer, reader, **none | others)


def at_runtime(schema: Mapping[str, Any], value: Any) -> bool:
    """Return whether the validator of the runtime accepts a value."""
    text = json.dumps(value)
    return CompiledSchema("a schema", Checked(object, schema)).accepts(load_text(text))


# The known pairs.


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_known_pair_is_decided_in_time(pair: dict[str, Any]) -> None:
    process.start()
    start = time.process_time()
    verdict = contains(**schemas_of(pair))
    assert time.process_time() - start < 2
    assert verdict.contained is pair["contained"]
    if not pair["contained"]:
        for schema, accepts in ((pair["writer"], True), (pair["reader"], False)):
            assert at_runtime(schema, verdict.value) is accepts
            assert jsonschema.Draft202012Validator(schema).is_valid(verdict.value) is accepts
        assert verdict.reason


def test_each_decider_alone_is_never_wrong_about_known_pairs() -> None:
    right = dict.fromkeys(("canonical", "prover", "search"), 0)
    for each in PAIRS:
        pair = made_pair(schemas_of(each))
        expected = "yes" if each["contained"] else "no"
        answer = canonical.relation(pair)
        assert answer in (expected, "unknown")
        right["canonical"] += answer == expected
        proved = not proof.reasons(pair)
        assert not proved or each["contained"]
        right["prover"] += proved
        found = search.find(pair, 2)
        assert found is None or not each["contained"]
        right["search"] += found is not None
    assert right["canonical"] >= 29
    assert right["prover"] >= 20
    assert right["search"] == 11


# The canonical forms.


@pytest.fixture
def fresh_trust() -> Iterator[None]:
    canonical.is_trusted.cache_clear()
    yield
    canonical.is_trusted.cache_clear()


class Answer:
    def __init__(self, value: str) -> None:
        self.value = value


class Lying:
    """The API of canonical forms, which answers the known pair of a number wrongly."""

    def __init__(self, number: int, wrong: str | BaseException) -> None:
        self._wrong = number, wrong
        self._calls = 0

    def canonicalize(self, schema: Any, **_: Any) -> Any:
        api = self
        true = CANONICALIZE(schema, draft=jsonschema_rs.Draft202012)

        class Form:
            form = true

            def covers(self, other: Any) -> Any:
                number, wrong = api._wrong
                api._calls += 1
                if api._calls - 1 != number:
                    return true.covers(other.form)
                if isinstance(wrong, BaseException):
                    raise wrong
                return Answer(wrong)

        return Form()


CANONICALIZE = jsonschema_rs.canonicalize
NARROWED = made_pair(schemas_of({"writer": {"maximum": 9}, "reader": {"maximum": 5}}))


class Panic(BaseException):
    """As what a panic of Rust becomes, no Exception."""


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("wrong", ["yes", "no", "unknown", "perhaps", OSError(), Panic()], ids=repr)
@pytest.mark.usefixtures("fresh_trust")
def test_canonical_that_errs_on_known_pair_is_not_trusted(
    number: int, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wrong == canonical.KNOWN[number][2]:
        pytest.skip("it is right")
    monkeypatch.setattr(jsonschema_rs, "canonicalize", Lying(number, wrong).canonicalize)
    assert not canonical.is_trusted()
    assert canonical.relation(NARROWED) == "unknown"


@pytest.mark.usefixtures("fresh_trust")
def test_canonical_without_lies_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert canonical.is_trusted()
    assert canonical.relation(NARROWED) == "no"
    canonical.is_trusted.cache_clear()
    monkeypatch.setattr(jsonschema_rs, "canonicalize", Lying(-1, "").canonicalize)
    assert canonical.is_trusted()


@pytest.mark.usefixtures("fresh_trust")
def test_canonical_without_api_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(jsonschema_rs, "canonicalize")
    assert canonical.relation(NARROWED) == "unknown"


def test_canonical_does_not_round_long_numbers() -> None:
    for number in (2**53, 2**64, 0.1234567890123456, 1e300):
        least = {"type": "number", "minimum": number}
        pair = {"writer": least, "reader": {**least, "minimum": 0}}
        assert canonical.relation(made_pair(schemas_of(pair))) == "unknown"
        assert contains(**schemas_of(pair)).contained is not False


def test_only_one_module_knows_canonical_forms() -> None:
    folder = Path(canonical.__file__).parents[1]
    users = [path.stem for path in folder.rglob("*.py") if "canonicalize" in path.read_text()]
    assert users == ["canonical"]


# Verdicts.


def test_schemas_that_differ_in_annotations_are_equal() -> None:
    verdict = compared(
        {"type": "string", "description": "A.", "format": "date"}, {"type": "string", "x-b": 1}
    )
    assert verdict == Verdict(contained=True, value=None, decided_by="equal", reason="")


def test_equal_names_of_different_definitions_are_not_equal() -> None:
    verdict = compared(
        {"$ref": "#/$defs/A"},
        {"$ref": "#/$defs/A"},
        writer_definitions={"A": {"type": "number"}},
        reader_definitions={"A": {"type": "integer"}},
    )
    assert verdict.contained is False
    assert not float(str(verdict.value)).is_integer()


def test_reference_next_to_keywords_is_followed() -> None:
    verdict = compared(
        {"$ref": "#/$defs/A", "minimum": 0},
        {"$ref": "#/$defs/A", "minimum": 0},
        writer_definitions={"A": {"type": "number"}},
        reader_definitions={"A": {"type": "integer"}},
    )
    assert verdict.value == 0.5


@pytest.mark.parametrize(
    ("writer", "reader", "value"),
    [
        (
            {"type": "string", "pattern": "^[a-z]+$"},
            {"type": "string", "pattern": "^[a-mo-z]+$"},
            "n",
        ),
        ({"type": "string", "maxLength": 5000}, {"type": "string", "maxLength": 4999}, "a" * 5000),
        (
            {"type": "string", "pattern": r"^(?=.*[A-Z])(?=.*\d).{8,}$"},
            {"type": "string", "maxLength": 8},
            "A0aaaaaaa",
        ),
        ({"enum": [*range(900)]}, {"enum": [*range(899)]}, 899),
        (INTEGERS | {"minItems": 3, "uniqueItems": True}, INTEGERS | {"maxItems": 2}, [0, 1, -1]),
        (
            {"type": "integer", "multipleOf": 7, "minimum": 1000},
            {"type": "integer", "minimum": 1002},
            1001,
        ),
        ({"type": "integer", "minimum": 2**64}, {"type": "integer", "minimum": 2**64 + 1}, 2**64),
        ({"type": "number", "multipleOf": 0.1}, {"type": "number", "multipleOf": 0.2}, 0.5),
    ],
)
def test_search_finds_value_at_border(writer: Any, reader: Any, value: Any) -> None:
    verdict = compared(writer, reader)
    assert (verdict.contained, verdict.value) == (False, value)


def test_search_reports_smallest_value() -> None:
    writer = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": INTEGERS, "c": {"type": "object"}},
        "required": ["a"],
    }
    reader = {**writer, "properties": writer["properties"] | {"b": INTEGERS | {"maxItems": 2}}}
    verdict = compared(writer, reader)
    assert verdict.value == {"a": "", "b": [0, 0, 0]}
    assert verdict.reason == "at /b: [0,0,0] has more than 2 items"


def test_search_finds_difference_within_union() -> None:
    def shape(kind: str, most: int) -> dict[str, Any]:
        properties = {"kind": {"const": kind}, "name": {"type": "string", "maxLength": most}}
        return {"type": "object", "properties": properties, "required": ["kind", "name"]}

    verdict = compared(
        {"oneOf": [shape("a", 5), shape("b", 5)]}, {"oneOf": [shape("b", 4), shape("a", 5)]}
    )
    assert verdict.contained is False
    assert isinstance(verdict.value, dict)
    assert verdict.value["kind"] == "b"
    assert len(str(verdict.value["name"])) == 5


def test_what_both_sides_say_alike_needs_no_proof() -> None:
    odd = {"type": "string", "pattern": "^(?=a)(?!ab)", "not": {"enum": ["ac"]}}
    writer = {"type": "object", "properties": {"a": odd, "b": {"type": "integer"}}}
    reader = {"type": "object", "properties": {"a": odd, "b": {"type": "number"}}}
    assert compared(writer, reader).contained
    assert compared(reader, writer).value == {"b": 0.5}


def test_writer_that_accepts_nothing_is_contained() -> None:
    assert compared(False, {"type": "string"}).contained
    assert compared({"type": "string"}, False).value == ""


def test_dynamic_reference_is_decided_only_if_equal() -> None:
    schema = {
        "$id": "urn:a",
        "$dynamicAnchor": "node",
        "type": "array",
        "items": {"$dynamicRef": "#node"},
    }
    assert compared(schema, schema).decided_by == "equal"
    verdict = compared(schema, {**schema, "maxItems": 2})
    assert verdict.contained is None
    assert "$dynamicRef" in verdict.reason
    # Without anchors, equal texts may mean different things.
    bare = {"type": "array", "items": {"$dynamicRef": "#node"}}
    assert compared(bare, bare).contained is None


def test_no_value_at_hand_is_undecided_and_says_so() -> None:
    writer = {"type": "string", "minLength": 10**9, "pattern": "^a*$"}
    verdict = compared(writer, {"type": "string", "maxLength": 10**8})
    assert verdict.contained is None
    assert verdict.decided_by is None
    assert "canonical" in verdict.reason or "prover" in verdict.reason


# Formats.


def test_format_counts_only_where_types_enforce_it() -> None:
    day = {"type": "string", "format": "date"}
    types = {("format", "date"): "date"}
    assert compared({"type": "string"}, day).contained
    assert compared({"type": "string"}, day, reader_types=types).contained is False
    assert compared(day, day, reader_types=types).contained is False
    assert compared(day, day, writer_types=types).contained
    assert compared(day, day, writer_types=types, reader_types=types).decided_by == "equal"
    longer = {**day, "minLength": 3}
    assert compared(day, longer, writer_types=types, reader_types=types).contained is not False


def test_format_that_nobody_changed_stays_decided() -> None:
    day = {"type": "string", "format": "date"}
    writer = {"type": "object", "properties": {"a": day, "b": {"type": "integer"}}}
    reader = {"type": "object", "properties": {"a": day, "b": {"type": "number"}}}
    date = {("format", "date"): "date"}
    types: dict[str, Any] = {"writer_types": date, "reader_types": date}
    assert compared(writer, reader, **types).contained
    verdict = compared(reader, writer, **types)
    assert verdict.value == {"b": 0.5}


@pytest.mark.parametrize("name", [*FORMATS, "base64"])
def test_patterns_of_format_are_around_its_type(name: str, tmp_path: Path) -> None:
    keyword, option = ("format", "formats") if name in FORMATS else ("contentEncoding", "encodings")
    assert keyword
    protocol = one_param({"type": "string", keyword: name})
    types = {name: FORMATS.get(name, "bytes")}
    object.__setattr__(protocol, option, types)
    some, every = PATTERNS[name]
    with imported(protocol, tmp_path) as package:
        slot = package.ECHO.param
        tried = [
            *samples(some, marks(some), (0, 8)),
            *samples(every, marks(every), (0, 8)),
            "",
            "x",
        ]
        for text in tried:
            accepted = accepts(slot, text)
            assert accepted or not at_runtime({"pattern": some}, text), text
            assert not accepted or at_runtime({"pattern": every}, text), text


# Patterns.


def test_pattern_includes_one_of_same_structure() -> None:
    assert includes("^[a-z0-9]+$", "^[a-z]+$")
    assert includes("^[a-z]{1,9}$", "^[a-c]{2,3}$")
    assert includes(r"^\w+-(a|b|c)$", r"^\d+-(c|a)$")
    assert includes("^a?b$", "^ab$")
    assert not includes("^[a-z]+$", "^[a-z0-9]+$")
    assert not includes("^[a-c]{2,3}$", "^[a-z]{1,9}$")
    assert not includes("^(?![a-z])", "^(?![a-c])")
    assert not includes(r"^([a-z])\1$", r"^([a-c])\1$")
    assert not includes("[", "[a")


def test_pattern_includes_only_what_matches() -> None:
    patterns = [
        *FUZZ_PATTERNS,
        *(some for some, _ in PATTERNS.values()),
        *(every for _, every in PATTERNS.values()),
    ]
    patterns += [
        "^[a-z]+$",
        "^[a-z0-9]+$",
        "^[a-z0-9]*$",
        "^a|b$",
        "^(a|b)$",
        "^(a|b|c)+$",
        "[ab]{2}",
        "[ab]{2,}",
    ]
    found = 0
    for narrower in patterns:
        texts = [
            each
            for each in samples(narrower, marks(narrower), (3,))
            if at_runtime({"pattern": narrower}, each)
        ]
        for wider in patterns:
            if includes(wider, narrower):
                found += wider != narrower
                for text in texts:
                    assert at_runtime({"pattern": wider}, text), (wider, narrower, text)
    assert found > 10


# Random pairs.


def decided(pair: RandomPair) -> tuple[Pair, str, bool, Any]:
    """Return the answers of all three deciders."""
    whole = made_pair(pair.arguments)
    left = without_promised(whole)
    return whole, canonical.relation(left), not proof.reasons(left), search.find(whole, 1.0)


@pytest.mark.parametrize("seed", slow_but(range(3), range(60)))
def test_random_pairs_have_no_value_against_verdict(seed: int, tmp_path: Path) -> None:
    tried = claimed = refuted = 0
    for pair in random_pairs(f"pairs {seed}", 12, tmp_path):
        writer, reader = pair.judges()
        if pair.written.procedures[0].dynamic_schemas or pair.read.procedures[0].dynamic_schemas:
            continue
        if writer.failure or reader.failure:
            continue
        whole, canon, proved, found = decided(pair)
        contained = whole.is_equal or canon == "yes" or proved
        # The deciders agree.
        assert not (contained and (canon == "no" or found is not None)), (
            pair.seed,
            canon,
            proved,
            found,
        )
        if found is not None:
            refuted += 1
            assert writer.accepts(found.value) is True, (pair.seed, found.value)
            assert reader.accepts(found.value) is False, (pair.seed, found.value)
        if not contained:
            continue
        claimed += 1
        for value in pair.values(200):
            if writer.accepts(value):
                tried += 1
                assert reader.accepts(value) is not False, (pair.seed, value)
    assert tried > 300
    assert claimed >= 2
    assert refuted >= 1


@pytest.mark.parametrize("seed", slow_but(range(2), range(40)))
def test_reduced_reader_accepts_same_values_of_writer(seed: int, tmp_path: Path) -> None:
    tried = 0
    for pair in random_pairs(f"reduced {seed}", 12, tmp_path):
        whole = made_pair(pair.arguments)
        if '"$dynamicRef"' in json.dumps([pair.writer.schema, pair.writer.definitions]):
            continue
        reduced = without_promised(whole)
        writer, reader, left = (
            jsonschema_rs.Draft202012Validator(each.document, validate_formats=False)
            for each in (whole.writer, whole.reader, reduced.reader)
        )
        for value in pair.values(100):
            if writer.is_valid(value):
                tried += 1
                assert reader.is_valid(value) == left.is_valid(value), (pair.seed, value)
    assert tried > 300


# Limits.


def nested(depth: int, **last: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", **last}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def binary(depth: int, **last: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a schema with exponentially many places, and its definitions."""
    definitions: dict[str, Any] = {"D0": {"type": "integer", **last}}
    for number in range(1, depth):
        below = {"$ref": f"#/$defs/D{number - 1}"}
        either = {"anyOf": [below, {"type": "array", "items": below}, {"allOf": [below, below]}]}
        definitions[f"D{number}"] = {
            "oneOf": [{"type": "object", "properties": {"a": either, "b": either}}, either]
        }
    return {"$ref": f"#/$defs/D{depth - 1}"}, definitions


def exponential(most: int) -> dict[str, Any]:
    """Return a schema with exponentially many combinations of alternatives."""
    return {
        "allOf": [
            {
                "anyOf": [
                    {"type": "string", "pattern": f"a{number}"},
                    {"type": "array", "minItems": number},
                    {"type": "object", "required": [f"a{number}"]},
                ]
            }
            for number in range(most)
        ]
    }


ONE, MANY = binary(40)
OTHER, MORE = binary(40, maximum=5)
HOSTILE: dict[str, tuple[Any, ...]] = {
    "minItems": ({"type": "array", "minItems": 10**9}, {"type": "array", "maxItems": 10**8}),
    "minLength": ({"type": "string", "minLength": 10**12}, {"type": "string", "minLength": 10**13}),
    "minProperties": (
        {"type": "object", "minProperties": 10**9},
        {"type": "object", "maxProperties": 3},
    ),
    "multipleOf": (
        {"type": "number", "multipleOf": 1e-300},
        {"type": "number", "multipleOf": 1e-299},
    ),
    "large multiple": (
        {"type": "integer", "multipleOf": 10**3000 + 1},
        {"type": "integer", "multipleOf": 10**3000 + 7},
    ),
    "pattern": (
        {"type": "string", "pattern": "^((a{1,99}){1,99}){1,99}$"},
        {"type": "string", "pattern": "^(a+)+$"},
    ),
    "backtracking": (
        {"type": "string", "minLength": 99},
        {"type": "string", "pattern": "^(a+)+(?!b)$"},
    ),
    "depth": (nested(95), nested(95, maximum=5)),
    "definitions": (ONE, OTHER, MANY, MORE),
    "recursion": (
        *2 * [{"$ref": "#/$defs/A"}],
        {"A": {"type": "array", "items": {"anyOf": 9 * [{"$ref": "#/$defs/A"}]}}},
        {"A": {"type": "array", "items": {"oneOf": 9 * [{"$ref": "#/$defs/A"}]}, "maxItems": 99}},
    ),
    "loop": (*2 * [{"$ref": "#/$defs/A"}], {"A": {"$ref": "#/$defs/A"}}, {"A": {"type": "string"}}),
    "chain": (
        *2 * [{"$ref": "#/$defs/A0"}],
        {f"A{n}": {"items": {"$ref": f"#/$defs/A{min(n + 1, 2999)}"}} for n in range(3000)},
        {
            f"A{n}": {"items": {"$ref": f"#/$defs/A{min(n + 1, 2999)}"}, "maxItems": 9}
            for n in range(3000)
        },
    ),
    "unions": (exponential(60), exponential(61)),
    "enum": ({"enum": [*range(100_000)]}, {"enum": [*range(99_999)]}),
    "properties": (
        {"properties": {f"p{n}": {"type": "string"} for n in range(5000)}},
        {"properties": {f"p{n}": {"type": "string", "maxLength": 9} for n in range(5000)}},
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_schemas_end_in_time(case: str) -> None:
    writer, reader, *definitions = HOSTILE[case]
    known = definitions or [{}, {}]
    process.start()
    start = time.process_time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    verdict = contains(
        writer, reader, writer_definitions=known[0], reader_definitions=known[1], time_limit=1.0
    )
    process.stop()
    took = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The limit, and the starts of three processes.
    assert took.ru_utime + took.ru_stime - start[1].ru_utime - start[1].ru_stime < 1 + 3 * 1.5
    assert time.process_time() - start[0] < 2
    assert verdict.contained is not True
    if verdict.contained is False:
        assert at_runtime({**reader, "$defs": known[1]}, verdict.value) is False
        assert at_runtime({**writer, "$defs": known[0]}, verdict.value) is True


def kind(number: int) -> dict[str, Any]:
    properties = {"kind": {"const": f"k{number}"}, f"p{number}": {"type": "integer"}}
    return {"type": "object", "properties": properties, "required": ["kind"]}


LARGE: Mapping[str, tuple[Any, Any, Any]] = {
    "the last constant of 3,000 is gone": (
        {"enum": [*range(3000)]},
        {"enum": [*range(2999)]},
        2999,
    ),
    "the last alternative of 60 is gone": (
        {"oneOf": [*map(kind, range(60))]},
        {"oneOf": [*map(kind, range(59))]},
        {"kind": "k59"},
    ),
    "a string of 65,536 characters at the most": (
        {"type": "string"},
        {"type": "string", "maxLength": 65_536},
        "a" * 65_537,
    ),
}


@pytest.mark.parametrize("case", LARGE)
def test_contains_large_schema_has_value_that_shows_it(case: str) -> None:
    writer, reader, value = LARGE[case]
    verdict = compared(writer, reader)
    assert (verdict.contained, verdict.value) == (False, value)


HARD = made_pair(schemas_of({"writer": exponential(60), "reader": exponential(61)}))


def test_decider_that_takes_too_long_ends_and_next_is_asked() -> None:
    with pytest.raises(process.WorkerEnded, match="it took too long"):
        process.ask("search", process.written(HARD), 1e-6)
    assert compared({"maximum": 5}, {"maximum": 4}).value == 5


def test_process_that_ends_by_itself_is_started_again() -> None:
    process.start()
    process.stop()
    process.stop()
    assert compared({"maximum": 5}, {"maximum": 6}).contained


def test_process_that_does_not_start_leaves_it_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    process.stop()
    monkeypatch.setattr(process, "_COMMAND", ("/nowhere/python",))
    verdict = compared({"maximum": 5}, {"maximum": 4})
    assert verdict.contained is None
    assert "canonical: its process did not start: No such file or directory" in verdict.reason


def test_process_that_is_killed_is_started_again() -> None:
    process.start()
    process._running[0]._popen.kill()
    long = {"type": "string", "enum": ["a" * 300_000, "b"]}
    verdict = compared(long, {**long, "enum": ["b", "c"]})
    assert verdict.contained is False
    assert verdict.decided_by == "search"


def test_verdict_is_same_in_each_process() -> None:
    arguments = [schemas_of(each) for each in PAIRS if not each["contained"]]
    first = [contains(**each) for each in arguments]
    process.stop()
    assert [contains(**each) for each in arguments] == first


def test_deciders_import_no_generator_of_models() -> None:
    program = (
        "import sys; import enkaku_codegen.containment.worker;"
        "print({'black', 'datamodel_code_generator', 'enkaku', 'jinja2'} & {*sys.modules})"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


# Schemas and values of hypothesis.

NAMES_OF_PROPERTIES = ("a", "b", "c")
SCALARS = st.one_of(
    st.sampled_from([None, True, False, "", "a", "b", "ab", "abc", "1", 0.5, -1.5, 1e20]),
    st.integers(-4, 6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*NAMES_OF_PROPERTIES, "d"]), inner, max_size=3),
    max_leaves=6,
)
SMALL = st.integers(0, 3)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(
        [
            "string",
            "integer",
            "number",
            "array",
            "object",
            ["string", "null"],
            ["integer", "object"],
        ]
    ),
    "minimum": st.integers(-3, 3),
    "exclusiveMaximum": st.integers(0, 5),
    "multipleOf": st.sampled_from([1, 2, 3, 0.5]),
    "minLength": SMALL,
    "maxLength": SMALL,
    "pattern": st.sampled_from(["^a", "^[ab]+$", "^[abc]+$", "b$", "^(a|1)"]),
    "minItems": SMALL,
    "maxItems": SMALL,
    "uniqueItems": st.booleans(),
    "minProperties": SMALL,
    "maxProperties": SMALL,
    "required": st.lists(st.sampled_from(NAMES_OF_PROPERTIES), unique=True, max_size=2),
    "enum": st.lists(SCALARS, min_size=1, max_size=3, unique_by=repr),
}


def with_subschemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(st.sampled_from(NAMES_OF_PROPERTIES), inner, max_size=3)
    within: dict[str, st.SearchStrategy[Any]] = {
        **PARTS,
        "properties": named,
        "additionalProperties": inner,
        "propertyNames": inner,
        "patternProperties": st.dictionaries(
            st.sampled_from(["^a", "b", "^[ac]$"]), inner, max_size=2
        ),
        "dependentRequired": st.just({"a": ["b"]}),
        "items": inner,
        "prefixItems": several,
        "contains": inner,
        "anyOf": several,
        "oneOf": several,
        "allOf": several,
        "not": inner,
        "if": inner,
        "then": inner,
        "unevaluatedProperties": inner,
        "$ref": st.just("#/$defs/D"),
    }
    return st.dictionaries(st.sampled_from(sorted(within)), st.none(), max_size=4).flatmap(
        lambda keys: st.fixed_dictionaries({key: within[key] for key in keys})
    )


SCHEMAS = st.recursive(
    st.dictionaries(st.sampled_from(sorted(PARTS)), st.none(), max_size=2).flatmap(
        lambda keys: st.fixed_dictionaries({key: PARTS[key] for key in keys})
    )
    | st.booleans(),
    with_subschemas,
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, schema: Any) -> Any:
    """Draw a schema that differs from a given one in a few places, or in none."""
    if not isinstance(schema, dict) or not schema or draw(st.integers(0, 9)) == 0:
        return draw(SCHEMAS)
    key = draw(st.sampled_from(sorted(schema)))
    rest = {name: each for name, each in schema.items() if name != key}
    value = schema[key]
    match draw(st.integers(0, 3)), value:
        case 0, _:
            return rest
        case 1, _:
            other = draw(st.sampled_from(sorted(PARTS)))
            return {**schema, other: draw(PARTS[other])}
        case _, int() if not isinstance(value, bool):
            return {
                **schema,
                key: max(value + draw(st.sampled_from([-1, 1])), 1 if key == "multipleOf" else 0),
            }
        case _, dict() if value and key in ("properties", "patternProperties"):
            name = draw(st.sampled_from(sorted(value)))
            return {**schema, key: {**value, name: draw(changed(value[name]))}}
        case _, dict() if key not in ("dependentRequired", "properties", "patternProperties"):
            return {**schema, key: draw(changed(value))}
        case _, [dict(), *_] if key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            return {**schema, key: [draw(changed(value[0])), *value[1:]]}
        case _:
            return schema


@settings(max_examples=400, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.data())
def test_no_value_of_hypothesis_is_against_verdict(data: st.DataObject) -> None:
    definitions = {"D": {"type": "object", "properties": {"a": {"$ref": "#/$defs/D"}}}}
    writer = data.draw(SCHEMAS)
    reader = data.draw(changed(writer))
    pair = made_pair(
        {
            "writer": writer,
            "reader": reader,
            "writer_definitions": definitions,
            "reader_definitions": definitions,
        }
    )
    judges = [
        jsonschema.Draft202012Validator({"allOf": [each], "$defs": definitions})
        for each in (writer, reader)
    ]
    left = without_promised(pair)
    canon, proved = canonical.relation(left), not proof.reasons(left)
    found = search.find(pair, 0.3)
    contained = pair.is_equal or canon == "yes" or proved
    assert not (contained and (canon == "no" or found is not None))
    if found is not None:
        assert [each.is_valid(found.value) for each in judges] == [True, False]
    if contained:
        for value in data.draw(st.lists(VALUES, min_size=30, max_size=30)):
            assert not judges[0].is_valid(value) or judges[1].is_valid(value), value
