"""Formats of findings: whatever a protocol holds, it stays within its finding."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from enkaku_codegen.commands.report import FORMATS, Finding, print_findings

HOSTILE = [
    "\x00\x01\x1b[31m\x7f\x85\u2028",
    "one\ntwo\r\n::error::three\r::warning::four",
    "%0A::error::",
    "a,b:c::d",
    "<b>&amp;]]></failure>\"'",
    "a | b \\| c \\",
    "![x](http://x) [y](z) <img src=x> `code` *bold* _it_",
    "\ud800 \ufffe \uffff 😀 ü",
    "",
]


def finding(text: str) -> Finding:
    return Finding("some-rule", "error", f"{text}.json", 3, f"/{text}", text, {"old": text})


def printed(findings: list[Finding], format_: str, capsys: pytest.CaptureFixture[str]) -> str:
    print_findings(findings, format_)
    return capsys.readouterr().out


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("format_", FORMATS)
def test_output_has_only_printable_characters(
    format_: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed([finding(text)], format_, capsys)
    assert all(line.isprintable() for line in out.split("\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_github_annotation_is_one_command(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed([finding(text)], "github", capsys)
    assert out.count("\n") == 1
    match = re.fullmatch(r"::error ([^:]*)::(.*)\n", out)
    assert match is not None
    keys = [each.partition("=")[0] for each in match[1].split(",")]
    assert keys == ["file", "line", "title"]


def test_github_annotation_keeps_lines_of_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    found = Finding("r", "note", None, None, "", "one\ntwo 100%")
    assert printed([found], "github", capsys) == "::notice title=r::one%0Atwo 100%25\n"


def test_github_annotation_has_path_from_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "repository" / "part").mkdir(parents=True)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "repository"))
    monkeypatch.chdir(tmp_path / "repository" / "part")
    found = [Finding("r", "error", file, None, "", "m") for file in ("p.json", "../../q.json")]
    assert printed(found, "github", capsys).splitlines() == [
        "::error file=part/p.json,title=r::m",
        "::error file=../../q.json,title=r::m",
    ]


@pytest.mark.parametrize("severity", ["error", "warning"])
@pytest.mark.parametrize("text", HOSTILE)
def test_junit_is_valid_xml_in_any_encoding(
    text: str, severity: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Finding("rule", "error" if severity == "error" else "warning", None, 1, text, text)
    print_findings([found], "junit", title=text)
    suite = ET.fromstring(capsys.readouterr().out.encode("ascii"))  # noqa: S314 # of this project
    assert suite.get("tests") == "1"
    assert suite.get("failures") == ("1" if severity == "error" else "0")
    (case,) = suite
    assert [each.tag for each in case] == ["failure" if severity == "error" else "system-out"]


def test_junit_without_findings_has_one_passed_test(capsys: pytest.CaptureFixture[str]) -> None:
    suite = ET.fromstring(printed([], "junit", capsys))  # noqa: S314 # of this project
    assert (suite.get("tests"), suite.get("failures"), len(suite[0])) == ("1", "0", 0)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_row_has_four_cells(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed([finding(text)], "markdown", capsys).splitlines()[2:]
    assert len(rows) == 3
    unescaped = re.sub(r"\\.", "", rows[2])
    assert unescaped.count("|") == 5
    assert not re.search(r"[<>\[\]*]", unescaped)


def test_json_is_one_line_and_keeps_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed([finding(text) for text in HOSTILE], "json", capsys)
    objects = [json.loads(line) for line in out.splitlines()]
    assert [each["message"] for each in objects] == HOSTILE
    assert [each["old"] for each in objects] == HOSTILE


@pytest.mark.parametrize(("variable", "is_coloured"), [("", True), ("1", False)])
def test_text_has_colours_on_a_terminal_alone(
    variable: str,
    is_coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = Finding("r", "warning", "p.json", 1, "/a", "m")
    assert printed([found], "text", capsys) == "warning: p.json:1: /a: m [r]\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", variable)
    assert ("\x1b[33m" in printed([found], "text", capsys)) == is_coloured
