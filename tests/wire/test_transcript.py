"""Tests of the recordings' index, and of the comparison of messages as JSON."""

import pytest
from wire.transcript import FOLDER, LARGE, canonical, load_recordings


def test_recordings_of_folder_are_all_replayed() -> None:
    files = {path.stem for path in FOLDER.glob("*.jsonl")}
    assert len(files) == 80
    assert files | {LARGE} == load_recordings().keys()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1}', '{"a":1}'),
        ("[42, 1e3]", "[42.0,1000]"),
        (r'"\u0041\/\ud83d\ude00"', '"A/😀"'),
    ],
)
def test_canonical_of_equal_texts_is_equal(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":1,"a":2}', '{"a":2}'),
        ("[1]", "[true]"),
        ("[1]", '["1"]'),
        ("[0]", "[false]"),
        ("[0]", "[-0.0]"),
        ("[]", "{}"),
        ("9007199254740993", "9007199254740992"),
        (r'"\ud800"', r'"\udc00"'),
    ],
)
def test_canonical_of_different_texts_differs(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


def test_canonical_unordered_ignores_order_of_properties() -> None:
    one, other = '{"a":[1,{"b":2,"c":3}],"d":4}', '{"d":4,"a":[1,{"c":3,"b":2}]}'
    assert canonical(one, ordered=False) == canonical(other, ordered=False)


def test_canonical_figures_ignore_value_of_number() -> None:
    figures = frozenset({"cpu"})
    assert canonical('{"cpu":1.5}', figures=figures) == canonical('{"cpu":2}', figures=figures)
    assert canonical('{"cpu":"1"}', figures=figures) != canonical('{"cpu":1}', figures=figures)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[1]]"])
def test_canonical_invalid_json_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting|Extra data"):
        canonical(text)
