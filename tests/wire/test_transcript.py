"""Tests of the recordings' index, and of the comparison of messages as JSON."""

import pytest
from wire.transcript import FOLDER, LARGE, canonical, load_recordings


def test_every_file_of_the_folder_is_replayed() -> None:
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
def test_equal_texts(one: str, other: str) -> None:
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
def test_different_texts(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


def test_members_out_of_order_are_equal_where_the_order_is_free() -> None:
    one, other = '{"a":[1,{"b":2,"c":3}],"d":4}', '{"d":4,"a":[1,{"c":3,"b":2}]}'
    assert canonical(one, ordered=False) == canonical(other, ordered=False)


def test_any_number_is_equal_where_it_is_a_figure() -> None:
    figures = frozenset({"cpu"})
    assert canonical('{"cpu":1.5}', figures=figures) == canonical('{"cpu":2}', figures=figures)
    assert canonical('{"cpu":"1"}', figures=figures) != canonical('{"cpu":1}', figures=figures)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[1]]"])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting|Extra data"):
        canonical(text)
