"""Reading files: the same values from JSON and YAML, the line of each, and a clear error for all else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.json_values import MAX_DEPTH, MAX_VALUES
from enkaku_codegen.reading import json_source
from enkaku_codegen.reading.load import MAX_BYTES, load
from hypothesis import given
from hypothesis import strategies as st
from slow import slow_but


def _file(directory: Path, name: str, content: str | bytes) -> Path:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _issue(directory: Path, name: str, content: str | bytes) -> tuple[int | None, str, str]:
    """Give line, pointer and message of the one issue of a file."""
    path = _file(directory, name, content)
    with pytest.raises(ProtocolError) as caught:
        load(path)
    (issue,) = caught.value.issues
    assert issue.file == str(path)
    return issue.line, issue.pointer, issue.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("nil", "nil"),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("-0", 0),
        ("12345678901234567890123", 12345678901234567890123),
        ("1.50", 1.5),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("0b1", "0b1"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("+1", "+1"),
        (".5", ".5"),
        ("1.", "1."),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"),
        ("=", "="),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!int 5", 5),
        ("!!float 5", 5.0),
        ("!!bool 'true'", True),
        ("!!null ''", None),
        ("!!seq [1]", [1]),
        ("!!map {a: 1}", {"a": 1}),
        ("|\n  one\n  two\n", "one\ntwo\n"),
        (">-\n  one\n  two\n", "one two"),
    ],
)
def test_yaml_scalars_read_as_json_values(tmp_path: Path, text: str, value: object) -> None:
    read = load(_file(tmp_path, "a.yaml", f"a: {text}")).value
    assert isinstance(read, dict)
    assert read["a"] == value
    assert type(read["a"]) is type(value)


def test_yaml_keys_stay_strings(tmp_path: Path) -> None:
    assert load(_file(tmp_path, "a.yml", "on: 1\n'1': 2\n'<<': 3\n2024-01-31: 4\n")).value == {
        "on": 1,
        "1": 2,
        "<<": 3,
        "2024-01-31": 4,
    }


def test_yaml_alias_gives_value_of_anchor(tmp_path: Path) -> None:
    document = load(_file(tmp_path, "a.yaml", "a: &x\n  b: [1]\nc: *x\nd: {e: *x}\n"))
    assert document.value == {"a": {"b": [1]}, "c": {"b": [1]}, "d": {"e": {"b": [1]}}}
    assert document.line(("c",)) == 3
    assert document.line(("c", "b")) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{\n "a": {\r\n  "b": [1,\n   {"c/d": 2}]\n },\n "e": 3}'),
        ("a.yaml", "---\na:\n  b: [1,\n   {c/d: 2}]\n\ne: 3\n"),
    ],
)
def test_load_records_line_of_each_value(tmp_path: Path, name: str, text: str) -> None:
    document = load(_file(tmp_path, name, text))
    assert document.value == {"a": {"b": [1, {"c/d": 2}]}, "e": 3}
    assert [document.line(tuple(path.split())) for path in ("a", "a b", "a b 1 c/d", "e")] == [
        2,
        3,
        4,
        6,
    ]
    assert (
        document.line(("a", "b", "7", "x")) == 3
    ), "what is not there has the line of what is around it"


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_load_byte_order_mark_is_ignored(tmp_path: Path, name: str) -> None:
    assert load(_file(tmp_path, name, b'\xef\xbb\xbf{"a": 1}')).value == {"a": 1}


def test_load_integers_of_any_size(tmp_path: Path) -> None:
    digits = "9" * 400
    for name in ("a.json", "a.yaml"):
        assert load(_file(tmp_path, name, f'{{"a": {digits}}}')).value == {"a": int(digits)}


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        ("{} {}", (1, "", "expected the end of the file after the JSON value")),
        (
            '{"a": 1, // no\n}',
            (1, "", "not JSON: expected a property name in double quotes; JSON has no comments"),
        ),
        ("# no\n{}", (1, "", "not JSON: expected a value; JSON has no comments")),
        (
            '{"a": 1,\n}',
            (
                2,
                "",
                "not JSON: expected a property name in double quotes; JSON has no comma before '}'",
            ),
        ),
        (
            '{"a": [1,\n]}',
            (2, "/a/1", "not JSON: expected a value; JSON has no comma before ']'"),
        ),
        ("{'a': 1}", (1, "", "not JSON: expected a property name in double quotes")),
        ('{"a" 1}', (1, "", "not JSON: expected ':'")),
        ('{"a": 1\n"b": 2}', (2, "", "not JSON: expected ',' or '}'")),
        ("[1 2]", (1, "", "not JSON: expected ',' or ']'")),
        ("[+1]", (1, "/0", "not JSON: expected a value")),
        ("[01]", (1, "", "not JSON: expected ',' or ']'")),
        ('{"a": NaN}', (1, "/a", "NaN is not JSON")),
        ('{"a": -Infinity}', (1, "/a", "-Infinity is not JSON")),
        ("[1e999]", (1, "/0", "1e999 is too large for a 64-bit floating-point number")),
        ('["\\x"]', (1, "/0", "not JSON: a backslash before a character that has no escape")),
        ('["a\n"]', (1, "/0", "not JSON: a control character in a string; escape it")),
        ('["a', (1, "/0", "not JSON: a string without an end")),
        ('["\\ud800"]', (1, "/0", "a lone surrogate, which is not a character")),
        ("[" * 100_000, (1, "/0" * MAX_DEPTH, f"nested more than {MAX_DEPTH} levels deep")),
        ('{"a":' * 100_000, (1, "/a" * MAX_DEPTH, f"nested more than {MAX_DEPTH} levels deep")),
    ],
)
def test_json_invalid_syntax_is_reported(
    tmp_path: Path, text: str, issue: tuple[int, str, str]
) -> None:
    assert _issue(tmp_path, "a.json", text) == issue


@pytest.mark.parametrize(
    ("text", "line", "pointer", "message"),
    [
        ("a: [1,\nb: 2\n", 3, "/a/2", "not YAML: "),
        ("a:\n\tb: 1", 2, "/a", "not YAML: "),
        ("a: 'x", 1, "/a", "not YAML: "),
        ("a: \x07", 1, "", "not YAML: the character U+0007"),
        ('a: "\\UFFFFFFFF"', 1, "/a", "not YAML: "),
        ("a: 1\n---\nb: 2\n", 2, "", "expected one YAML document, here a second one begins"),
        ("1: a", 1, "", "expected a string as key, got 1: put it in quotes"),
        ("true: a", 1, "", "expected a string as key, got true: put it in quotes"),
        ("? [a]\n: b", 1, "", "expected a string as key, got an object or array"),
        ("x: &a [1]\n*a : 1", 2, "", "expected a string as key, got an object or array"),
        ("a: &x {b: 1}\nc:\n  <<: *x", 3, "/c", "merge keys (<<) are not supported"),
        ("a: .nan", 1, "/a", ".nan is not a number in JSON; put it in quotes if it is a string"),
        ("a: -.inf", 1, "/a", "-.inf is not a number in JSON"),
        ("a: 1e999", 1, "/a", "1e999 is too large for a 64-bit floating-point number"),
        ("a: !!python/name:os.system x", 1, "/a", "expected no tag, or one of YAML's core schema"),
        ("a: !!python/object:x.Y {}", 1, "/a", "expected no tag, got"),
        ("a: !!binary aGk=", 1, "/a", "expected no tag, or one of YAML's core schema"),
        ("a: !!timestamp 2024-01-31", 1, "/a", "expected no tag, or one of YAML's core schema"),
        ("a: !!set {x}", 1, "/a", "expected no tag, got tag:yaml.org,2002:set"),
        ("a: !!int x", 1, "/a", "'x' does not fit its tag tag:yaml.org,2002:int"),
        ("a: *b", 1, "/a", "the alias *b has no anchor before it"),
        ("a: &a\n  b: *a", 2, "/a/b", "the alias *a refers to a value that contains it"),
        ("[" * 500, 1, "/0" * MAX_DEPTH, f"nested more than {MAX_DEPTH} levels deep"),
        (f"a: &a {'[' * 60}{']' * 60}\nb: {'[' * 60}*a", 2, "/b" + "/0" * 60, "nested more than"),
        ("# nothing\n", None, "", "the file is empty"),
    ],
)
def test_yaml_unsupported_syntax_is_reported(
    tmp_path: Path, text: str, line: int | None, pointer: str, message: str
) -> None:
    found = _issue(tmp_path, "a.yaml", text)
    assert (found[0], found[1]) == (line, pointer)
    assert found[2].startswith(message)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_yaml_nested_too_deep_is_rejected(tmp_path: Path, opening: str) -> None:
    line, _, message = _issue(tmp_path, "a.yaml", "# a comment\n" + opening * 20_000)
    assert (line, message) == (2, f"nested more than {MAX_DEPTH} levels deep")


def test_yaml_parser_message_is_reported(tmp_path: Path) -> None:
    text = "a: [1,\nb: 2\n"
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        list(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    assert str(caught.value.problem) in _issue(tmp_path, "a.yaml", text)[2]


def test_yaml_exponential_aliases_are_rejected(tmp_path: Path) -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    line, pointer, message = _issue(tmp_path, "a.yaml", laughs)
    assert (line, pointer) == (6, "/f/6")
    assert message == f"more than {MAX_VALUES} values in one file, aliases counted"


@pytest.mark.parametrize("limit", slow_but([1_000], [1_000, MAX_VALUES]))
def test_json_too_many_values_are_rejected(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_source, "MAX_VALUES", limit)
    message = _issue(tmp_path, "a.json", f"[{'1,' * limit}1]")[2]
    assert message == f"more than {limit} values in one file"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"a": {"b": 1,\n"b": {},\n"b": 2},\n"c": [],\n "c": 1}'),
        ("a.yaml", "a: {b: 1,\n  b: {},\n  b: 2}\nc: []\nc: 1"),
    ],
)
def test_load_duplicate_keys_are_reported_with_both_lines(
    tmp_path: Path, name: str, text: str
) -> None:
    path = _file(tmp_path, name, text)
    with pytest.raises(ProtocolError) as caught:
        load(path)
    assert caught.value.issues == tuple(
        Issue(str(path), line, pointer, f"duplicate key, first on line {first}")
        for line, pointer, first in [(2, "/a/b", 1), (3, "/a/b", 1), (5, "/c", 4)]
    )


@pytest.mark.parametrize(
    ("name", "content", "issue"),
    [
        ("a.json", "", (None, "", "the file is empty")),
        ("a.yaml", " \n ", (None, "", "the file is empty")),
        ("a.json", b'{"a":\n"\xe9"}', (2, "", "not UTF-8: byte 0xe9 at offset 7")),
        ("a.yaml", "a: 1".encode("utf-16"), (1, "", "not UTF-8: byte 0xff at offset 0")),
        ("a.txt", "{}", (None, "", "expected a file named *.json, *.yaml or *.yml")),
        ("a.json", b" " * (MAX_BYTES + 1), (None, "", f"larger than {MAX_BYTES} bytes")),
    ],
)
def test_load_undecodable_file_is_rejected(
    tmp_path: Path, name: str, content: str | bytes, issue: tuple[int | None, str, str]
) -> None:
    assert _issue(tmp_path, name, content) == issue


def test_load_unreadable_path_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "directory.json").mkdir()
    (tmp_path / "loop.json").symlink_to("loop.json")
    os.mkfifo(tmp_path / "pipe.json")
    messages: dict[str, str] = {}
    for name in ("missing", "directory", "loop", "pipe", "nul\0"):
        with pytest.raises(ProtocolError) as caught:
            load(tmp_path / f"{name}.json")
        (issue,) = caught.value.issues
        messages[name] = issue.message
    assert messages.pop("nul\0").startswith("can't be read: ")  # in words of Python's
    assert messages == {
        "missing": "no such file",
        "directory": "expected a file, got a directory",
        "loop": "can't be read: Too many levels of symbolic links",
        "pipe": "expected a regular file",
    }


def test_protocol_error_prints_one_line_per_issue() -> None:
    error = ProtocolError(
        [
            Issue("b.json", 2, "", "wrong"),
            Issue("a.json", 10, "/x\n\x1b[31m", "worse"),
            Issue("a.json", 9, "/é", "bad"),
            Issue("a.json", None, "", "unreadable"),
            Issue(None, None, "/p", "nameless"),
            Issue("b.json", 2, "", "wrong"),
        ]
    )
    assert str(error).split("\n") == [
        "/p: nameless",
        "a.json: unreadable",
        "a.json:9: /é: bad",
        "a.json:10: /x\\n\\x1b[31m: worse",
        "b.json:2: wrong",
    ]


def test_protocol_error_locate_adds_file_and_line(tmp_path: Path) -> None:
    document = load(_file(tmp_path, "a.yaml", "a:\n  b/c: 1\n"))
    elsewhere = Issue("z.json", 7, "/a", "there")
    located = document.locate(ProtocolError([Issue(None, None, "/a/b~1c", "here"), elsewhere]))
    assert located.issues == (Issue(str(document.path), 2, "/a/b~1c", "here"), elsewhere)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(value=_VALUES, indent=st.sampled_from([None, 2]))
def test_json_source_agrees_with_standard_library(
    tmp_path_factory: pytest.TempPathFactory, value: Any, indent: int | None
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(text, encoding="utf-8", newline="")
    assert repr(load(path).value) == repr(json.loads(text))


# YAML joins no surrogate pairs, wants U+007F escaped, and takes no key of over 1024 characters on a line.
_BOTH = st.text(
    st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_characters="\x7f"), max_size=50
)


@given(value=st.dictionaries(_BOTH, _BOTH | st.integers() | st.booleans() | st.none()))
def test_yaml_source_agrees_with_json_source_on_ascii(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    text = json.dumps(value)
    read: list[object] = []
    for name in ("alike.json", "alike.yaml"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_text(text, encoding="utf-8")
        read.append(load(path).value)
    assert repr(read[0]) == repr(read[1])


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a:\n\tb: 1", 2, "indent with spaces, not with a tab"),
        ("a: b: c", 1, 'a string with ": " in it needs quotes'),
        ("a:\n  b: 1\n   c: 1", 3, "the keys of one object need the same indentation"),
        ("a:\n  b: 1\n c: 1", 3, "the keys of one object need the same indentation"),
        ("a: @b", 1, "a string that begins with @ needs quotes"),
        (
            "a: { $ref: #/b }\n",
            2,
            "after a space, # begins a comment: a string with it needs quotes",
        ),
    ],
)
def test_yaml_common_mistakes_are_explained(
    tmp_path: Path, text: str, line: int, hint: str
) -> None:
    found = _issue(tmp_path, "a.yaml", text)
    assert found[0] == line
    assert hint in found[2].partition("; ")[2]
