"""``enkaku format``: the layout of JSON and YAML, what it keeps, and how files are replaced."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from commands import enkaku
from enkaku_codegen.errors import OutputError, ProtocolError
from enkaku_codegen.formatting import files
from enkaku_codegen.formatting.files import format_file
from enkaku_codegen.formatting.yaml_tree import comments
from enkaku_codegen.json_values import as_json
from enkaku_codegen.reading.load import load
from hypothesis import example, given
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent.parent
UGLY = '{"echo" : {"type":"request"}}'
PRETTY = '{\n  "echo": { "type": "request" }\n}\n'


def formatted(directory: Path, text: str, name: str = "main.yaml", width: int = 100) -> str:
    """Return a text in its layout, which must be stable and keep the value."""
    path = directory / name
    path.write_bytes(text.encode())
    value = load(path).value
    once = format_file(path, width)
    assert once.changed == (once.content != text.encode())
    path.write_bytes(once.content)
    assert as_json(load(path).value) == as_json(value)
    twice = format_file(path, width)
    assert not twice.changed, twice.content.decode()
    return once.content.decode()


YAML = {
    "indentation": (
        """
        procedures:
            echo:
                type: request
                enum:
                - a
                -   b
        """,
        """
        procedures:
          echo:
            type: request
            enum:
              - a
              - b
        """,
    ),
    "flow style": (
        """
        a: {type:   object,properties: { b: {type: string } },required: [ a,b ] , }
        b: {
          type: event
        }
        c: {}
        d: [ ]
        """,
        """
        a: { type: object, properties: { b: { type: string } }, required: [a, b] }
        b: { type: event }
        c: {}
        d: []
        """,
    ),
    "flow style that is too long": (
        """
        a: {type: object, properties: {first: {type: string}, second: {type: string}, third: {type: string}}, x: 1}
        b:
          - {title: "abcdefghijklmnopqrstuvwxyz", description: "abcdefghijklmnopqrstuvwxyz", pattern: "a*"}
        """,
        """
        a:
          type: object
          properties: { first: { type: string }, second: { type: string }, third: { type: string } }
          x: 1
        b:
          - title: "abcdefghijklmnopqrstuvwxyz"
            description: "abcdefghijklmnopqrstuvwxyz"
            pattern: "a*"
        """,
    ),
    "comments": (
        """
        # first

        # second
        a:    # of a
             # of b
             b: 1    # end of b
             # after b
        # of c
        c:
        - x # end of x
        # of the next
        -   # of the item
            d: {e: 1}   # end of e
        # of f
        f: [ # in f
          1,   # one
          2 ]  # end of f
        # last
        """,
        """
        # first

        # second
        a:    # of a
          # of b
          b: 1    # end of b
          # after b
        # of c
        c:
          - x # end of x
          # of the next
          -   # of the item
            d: { e: 1 }   # end of e
        # of f
        f: # in f
          - 1   # one
          - 2
          # end of f
        # last
        """,
    ),
    "comments without a place": (
        """
        a: # before the value
          1
        b: # one
          # two
          2 # three
        c: { # in c
          }
        d: &x # of x
          e: 1
        """,
        """
        a: 1 # before the value
        # one
        # two
        b: 2 # three
        c: {} # in c
        d: &x # of x
          e: 1
        """,
    ),
    "blank lines": (
        """


        a:

          b: 1



          c: 2

        # of d


        d: 3


        """,
        """
        a:
          b: 1

          c: 2

        # of d

        d: 3
        """,
    ),
    "quotes": (
        r"""
        'a': 'it''s'
        "b": 'back\slash'
        c: 'a "word"'
        d: "\x41"
        e: ''
        """,
        r"""
        "a": "it's"
        "b": 'back\slash'
        c: 'a "word"'
        d: "\x41"
        e: ""
        """,
    ),
    "strings of several lines": (
        """
        a: plain text
              goes on

              and on
        b: "quoted \\
            text
              goes on"
        c: |   # of c
             literal
               more

             text
        d: >-
          folded
          text
        e: |2
             indented
        f: |+
          kept


        g: 1
        """,
        """
        a: plain text
          goes on

          and on
        b: "quoted \\
          text
          goes on"
        c: |   # of c
          literal
            more

          text
        d: >-
          folded
          text
        e: |2
             indented
        f: |+
          kept


        g: 1
        """,
    ),
    "anchors, tags and explicit keys": (
        """
        a:   &x   !!map
            b: !!str   5
        c: *x
        ? d
        : - - 1
            - 2
          - - 3
        e: [ *x , a: 1 ]
        f: {g, h: , }
        i:
        """,
        """
        a: &x !!map
          b: !!str 5
        c: *x
        d:
          - - 1
            - 2
          - - 3
        e: [*x, { a: 1 }]
        f: { g, h: }
        i:
        """,
    ),
    "head": (
        """
        # about
        %YAML 1.2
        ---   # head
        a:   1
        ...
        # end
        """,
        """
        # about
        %YAML 1.2
        ---
        # head
        a: 1
        # end
        """,
    ),
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_layout(name: str, tmp_path: Path) -> None:
    before, after = (dedent(text).removeprefix("\n") for text in YAML[name])
    assert formatted(tmp_path, before) == after


def test_yaml_line_ends_and_spaces_are_removed(tmp_path: Path) -> None:
    text = "\ufeffa: 1  \r\nb:\t2 # c \t\r\nc: |\r\n  text \r\n\r\n"
    assert formatted(tmp_path, text) == "a: 1\nb: 2 # c\nc: |\n  text \n"
    assert formatted(tmp_path, "a: 1") == "a: 1\n"


def test_yaml_line_separator_alone_in_block_scalar_is_kept(tmp_path: Path) -> None:
    assert formatted(tmp_path, "a: |\n \u2028 ") == "a: |-\n  \u2028\n"


JSON = {
    "short objects": (UGLY, PRETTY),
    "procedures": (
        '{"name": "X", "$defs": {"A": {"enum": ["a","b"]}}, "procedures": {}, "x-y": []}',
        '{\n  "name": "X",\n  "$defs": {\n    "A": { "enum": ["a", "b"] }\n  },\n  "procedures": {},\n  "x-y": []\n}\n',
    ),
    "scalars": (
        '{"a": [1.0, 1e5, -0, 1E+2, "\\u0041\\/", "é", true, null]}',
        '{\n  "a": [1.0, 1e5, -0, 1E+2, "\\u0041\\/", "é", true, null]\n}\n',
    ),
    "brackets in strings": (
        '{"a{": "}, [\\"", "b": ["]"]}',
        '{\n  "a{": "}, [\\"",\n  "b": ["]"]\n}\n',
    ),
    "empty": ("{ \n }", "{}\n"),
    "array": ("[{\n}, [ ] ]", "[{}, []]\n"),
}


@pytest.mark.parametrize("name", JSON)
def test_json_layout(name: str, tmp_path: Path) -> None:
    before, after = JSON[name]
    assert formatted(tmp_path, before, "main.json") == after


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (80, ['  "ab": { "c": [1, 2, 3] },']),
        (27, ['  "ab": { "c": [1, 2, 3] },']),
        (26, ['  "ab": {', '    "c": [1, 2, 3]', "  },"]),
        (17, ['  "ab": {', '    "c": [', "      1,", "      2,", "      3", "    ]", "  },"]),
    ],
)
def test_json_breaks_what_exceeds_width(width: int, lines: list[str], tmp_path: Path) -> None:
    text = formatted(tmp_path, '{"ab":{"c":[1,2,3]},"d":0}', "main.json", width)
    assert text.split("\n")[1 : len(lines) + 1] == lines


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/protocol.*")), ids=str)
def test_example_protocols_are_formatted(path: Path) -> None:
    assert not format_file(path, 100).changed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "duplicate key"),
        ("a: [1\n", "not YAML"),
        ("<<: { a: 1 }\n", "merge keys"),
        ("", "the file is empty"),
        ("1\n", "neither an object nor an array"),
        ("? a\n  b\n: 1\n", "a key of more than one line, on line 1"),
        (f"? {'k' * 1025}\n: 1\n", "a key of more than 1024 characters, on line 1"),
        ("a: 1 # c\u0085b: 2\n", r"U\+0085 on line 1, which ends a line in YAML"),
        ("a:  1\nb: |\n x\u2028 y\n", r"U\+2028 on line 3, which ends a line in YAML"),
    ],
)
def test_yaml_that_cannot_be_formatted(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "main.yaml"
    path.write_text(text)
    with pytest.raises(ProtocolError, match=message):
        format_file(path, 100)


def test_json_duplicate_key_is_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1, "a": 1}')
    with pytest.raises(ProtocolError, match="duplicate key"):
        format_file(tmp_path / "a.json", 100)


@pytest.mark.parametrize("wrong", ["a: 2\n", "a: 1\n", "# c\n# c\na: 1\n", "a: ["])
def test_layout_that_changes_anything_is_not_written(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "lay_out_yaml", lambda text, width: wrong)
    (tmp_path / "a.yaml").write_text("a:   1 # c\n")
    ran = enkaku("format", "a.yaml", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert (
        ran.stderr == "a.yaml: can't be formatted: its layout would change a value or a comment\n"
    )
    assert (tmp_path / "a.yaml").read_text() == "a:   1 # c\n"


@pytest.mark.parametrize("wrong", ['{"a": 1.0}', '{"a": 1, "b": 2}', '{"\\u0061": 1}'])
def test_json_layout_that_changes_a_token_is_not_written(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "lay_out_json", lambda text, width: wrong)
    (tmp_path / "a.json").write_text('{"a": 1}')
    assert enkaku("format", "a.json", cwd=tmp_path).returncode == 1
    assert (tmp_path / "a.json").read_text() == '{"a": 1}'


# The command.


def test_format_writes_only_what_changes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(UGLY)
    (tmp_path / "b.json").write_text(PRETTY)
    before = (tmp_path / "b.json").stat()
    ran = enkaku("format", "a.json", "b.json", "./a.json", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "a.json\n", "1 formatted, 1 unchanged\n")
    assert (tmp_path / "a.json").read_text() == PRETTY
    assert (tmp_path / "b.json").stat() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_format_check_lists_files_and_writes_nothing(tmp_path: Path) -> None:
    for name in ("b.json", "a.json"):
        (tmp_path / name).write_text(UGLY)
    ran = enkaku("format", "--check", "b.json", "a.json", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "a.json\nb.json\n")
    assert ran.stderr == "2 would be formatted\n"
    assert (tmp_path / "a.json").read_text() == UGLY
    enkaku("format", "a.json", "b.json", cwd=tmp_path)
    ran = enkaku("format", "--check", "b.json", "a.json", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "2 unchanged\n")


def test_format_without_arguments_takes_project(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(UGLY)
    (tmp_path / "b.json").write_text(UGLY)
    listed = 'file = "a.json"\nout = "x"\n[[protocol]]\nfile = "a.json"\nout = "y"\n'
    (tmp_path / "enkaku.toml").write_text(f"[[protocol]]\n{listed}")
    ran = enkaku("format", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "a.json\n", "1 formatted\n")
    assert (tmp_path / "b.json").read_text() == UGLY


def test_format_without_project_is_usage_error(tmp_path: Path) -> None:
    ran = enkaku("format", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "tool.enkaku.protocol" in ran.stderr
    assert enkaku("format", "--line-length", "x", "a.json", cwd=tmp_path).returncode == 2


def test_format_with_wrong_file_writes_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(UGLY)
    (tmp_path / "b.json").write_text("{")
    ran = enkaku("format", "a.json", "b.json", "c.txt", "d.yaml", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert [line.partition(":")[0] for line in ran.stderr.splitlines()] == [
        "b.json",
        "c.txt",
        "d.yaml",
    ]
    assert (tmp_path / "a.json").read_text() == UGLY


def test_format_keeps_mode_and_follows_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "a.json"
    target.write_text(UGLY)
    target.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to("real/a.json")
    assert enkaku("format", "link.json", cwd=tmp_path).returncode == 0
    assert link.readlink() == Path("real/a.json")
    assert target.read_text() == PRETTY
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_format_failing_to_replace_leaves_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_text(UGLY)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    ran = enkaku("format", "a.json", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "a.json: No space left on device: it is unchanged\n"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == UGLY


def test_replace_interrupted_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_text(UGLY)
    made = format_file(tmp_path / "a.json", 100)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.replace(made)
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    monkeypatch.undo()
    (tmp_path / "a.json").unlink()
    with pytest.raises(OutputError, match="it is unchanged"):
        files.replace(made)


# Random files: the layout is stable, and keeps values and comments, whatever the file has.

WORDS = ["a", "b c", "type", "1", "1.50", "~", "'it''s'", '"\\u00e9 #"', "'# no'", "a#b", "é", "-1"]
BLOCKS = ["|", ">", "|-", ">+", "|+", "|2", ">-1"]
Draw = Callable[..., Any]


def draw_gap(draw: Draw) -> str:
    return draw(st.sampled_from(["", "", " ", "   ", "\t"]))


def draw_ending(draw: Draw) -> str:
    return draw(st.sampled_from(["", "", "", " ", " # end", "\t# end  ", "    # end: [x"]))


def draw_flow(draw: Draw, depth: int) -> str:
    kind = draw(st.integers(0, 5)) if depth else 0
    if kind < 3:
        return draw(st.sampled_from([*WORDS, "x" * 30, ""]))
    breaks = draw(
        st.sampled_from([" ", " ", "", "\n     ", " # in\n     ", "\n\n     # own\n     "])
    )
    parts = [draw_flow(draw, depth - 1) for _ in range(draw(st.integers(0, 3)))]
    if kind == 3:
        return f"[{breaks}{f',{breaks}'.join(part or 'z' for part in parts)}{breaks}]"
    colon = draw(st.sampled_from([": ", ":   ", " : "]))
    entries = [f"k{index}{colon}{part}" for index, part in enumerate(parts)]
    return f"{{{breaks}{f',{breaks}'.join(entries)}{breaks}}}"


def draw_between(draw: Draw, indent: int) -> list[str]:
    lines: list[str] = []
    for _ in range(draw(st.integers(0, 2)) if draw(st.booleans()) else 0):
        column = draw(st.sampled_from([0, indent, indent + 2, 1]))
        lines.append(draw(st.sampled_from(["", "", "  ", " " * column + "# own", "#", "\t"])))
    return lines


def draw_value(draw: Draw, indent: int, depth: int) -> list[str]:
    """Return what follows a key or a dash: the rest of its line, and the lines after it."""
    prop = draw(st.sampled_from(["", "", "", "", " &anchor", " !!str"]))
    kind = draw(st.integers(0, 6))
    inner = indent + draw(st.integers(1, 4))
    gap = " " + draw_gap(draw)
    if kind == 0:
        style = draw(st.sampled_from(BLOCKS))
        texts = draw(st.lists(st.sampled_from(["text", "  more", "", "# no", "x  "]), max_size=4))
        pad = " " * max(inner, indent + 2)
        return [f"{prop}{gap}{style}{draw_ending(draw)}", *(pad + each for each in texts)]
    if kind == 1:
        start, end = draw(st.sampled_from([("x", "y"), ('"x \\', 'y"'), ("'x", "''y'")]))
        return [f"{prop}{gap}{start}", "", " " * inner + f"more  {end}{draw_ending(draw)}"]
    if kind >= 4 and depth:
        return [f"{draw_ending(draw)}", *draw_collection(draw, inner, depth - 1)]
    flow = draw_flow(draw, 2)
    prop = "" if flow[:1] in {"[", "{"} else prop
    return [f"{prop}{gap}{each}" if not at else each for at, each in enumerate(
        f"{flow}{draw_ending(draw)}".split("\n")
    )]  # fmt: skip


def draw_collection(draw: Draw, indent: int, depth: int) -> list[str]:
    lines: list[str] = []
    is_mapping = draw(st.booleans()) or not indent
    for index in range(draw(st.integers(1, 3))):
        lines += draw_between(draw, indent)
        key = draw(st.sampled_from([f"k{index}", f"'k {index}'", f'"k#{index}"', f"? k{index}\n"]))
        head = key.replace("\n", "\n" + " " * indent) + ":" if is_mapping else "-"
        first, *others = draw_value(draw, indent, depth)
        lines += [*f"{' ' * indent}{head}{first}".split("\n"), *others]
    return [*lines, *draw_between(draw, indent)]


@st.composite
def yaml_texts(draw: Draw) -> str:
    lines = draw_collection(draw, 0, 3)
    head = draw(st.sampled_from([[], [], [], ["# head", "---"], ["---  # head"]]))
    return "\n".join([*head, *lines]) + draw(st.sampled_from(["", "\n", "\n\n"]))


def is_readable(path: Path, text: str) -> bool:
    path.write_text(text, newline="")
    try:
        load(path)
    except ProtocolError:
        return False
    return True


@given(text=yaml_texts(), width=st.sampled_from([60, 100]), ends=st.sampled_from(["\n", "\r\n"]))
@example(text="a: { b: 1 } # c", width=100, ends="\n")
def test_yaml_layout_is_stable_and_keeps_everything(
    text: str, width: int, ends: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"random-{os.getpid()}.yaml"
    if not is_readable(path, text.replace("\n", ends)):
        return
    value, found = load(path).value, comments(text)
    made = format_file(path, width)
    path.write_bytes(made.content)
    assert as_json(load(path).value) == as_json(value)
    assert comments(made.content.decode()) == found
    assert not format_file(path, width).changed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(
        st.characters(exclude_categories=["Cs"]), max_size=10
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)  # fmt: skip


@given(value=json_values, indent=st.sampled_from([None, 1, 4]), ascii_=st.booleans())
def test_json_layout_is_stable_and_keeps_everything(
    value: object, indent: int | None, ascii_: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"random-{os.getpid()}.json"
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_)
    if not is_readable(path, text):
        return
    made = format_file(path, 60)
    assert json.loads(made.content) == value
    path.write_bytes(made.content)
    assert not format_file(path, 60).changed
