"""``enkaku lint``: each rule has a protocol that breaks it and one that does not; then settings, formats and limits."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commands import enkaku
from enkaku_codegen.fingerprint import Import, Request
from enkaku_codegen.linting import linter
from enkaku_codegen.linting.ignores import Settings
from enkaku_codegen.linting.linter import Problem, lint
from enkaku_codegen.linting.patterns import is_bounding, is_exponential
from enkaku_codegen.linting.rules import BY_DEFAULT, CATEGORIES, RULES
from enkaku_codegen.project import read_project

ROOT = Path(__file__).parents[2]
Protocol = dict[str, Any]
TEXT = {"type": "string"}
BRANCHES = {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
TREE = {"anyOf": [BRANCHES, BRANCHES | {"maxItems": 5}]}


def request(kind: str = "param", **schemas: Any) -> Protocol:
    """A protocol of one request, with a schema for its slot; other names are definitions."""
    slot = schemas.pop("schema")
    procedure = {"type": "request", "description": "Do it.", kind: slot}
    return {"$defs": schemas, "procedures": {"area/verb": procedure}}


def param(schema: Any, **definitions: Any) -> Protocol:
    return request(schema=schema, **definitions)


def result(schema: Any, **definitions: Any) -> Protocol:
    return request("result", schema=schema, **definitions)


def named(*names: str, description: str = "Do it.") -> Protocol:
    procedure = {"type": "event", "description": description}
    return {"procedures": dict.fromkeys(names, procedure)}


def closed(**properties: Any) -> Protocol:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def tagged(tag: str) -> Protocol:
    return closed(tag={"const": tag}) | {"required": ["tag"]}


PARAM = "/procedures/area~1verb/param"
RESULT = "/procedures/area~1verb/result"
# Rule, what breaks it, where it is reported, and what does not break it.
CASES: list[tuple[str, Protocol, str, Protocol]] = [
    ("invalid-protocol", param({"type": "text"}), f"{PARAM}/type", param(TEXT)),
    ("invalid-protocol", named("a/b", "a_b"), "/procedures/a_b", named("a/b", "a/c")),
    (
        "likely-mistake",
        result({"type": "object", "properties": {"name": TEXT}, "required": ["nmae"]}),
        f"{RESULT}/required/0",
        result({"type": "object", "properties": {"name": TEXT}, "required": ["name"]}),
    ),
    (
        "contradiction",
        result({"type": "integer", "minimum": 5, "maximum": 4}),
        RESULT,
        result({"type": "integer", "minimum": 5, "maximum": 5}),
    ),
    (
        "contradiction",
        result({"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 6}),
        RESULT,
        result({"type": "number", "exclusiveMinimum": 5, "exclusiveMaximum": 6}),
    ),
    (
        "contradiction",
        result({"type": "array", "items": {"type": "string", "minLength": 3, "maxLength": 2}}),
        f"{RESULT}/items",
        result({"minLength": 3, "maxLength": 2}),  # not of strings
    ),
    (
        "contradiction",
        result({"allOf": [{"$ref": "#/$defs/A"}, {"type": "integer"}]}, A=TEXT),
        RESULT,
        result({"allOf": [{"$ref": "#/$defs/A"}, {"maxLength": 3}]}, A=TEXT),
    ),
    ("contradiction", result({"type": "string", "enum": [1, 2]}), RESULT, result({"enum": [1, 2]})),
    (
        "contradiction",
        result({"allOf": [{"const": 1}, {"const": 2}]}),
        RESULT,
        result({"const": 1}),
    ),
    (
        "contradiction",
        result(closed(a=TEXT) | {"required": ["b"]}),
        RESULT,
        result(closed(a=TEXT) | {"required": ["a"]}),
    ),
    (
        "contradiction",
        result({"type": "object", "required": ["a"], "properties": {"a": False}}),
        RESULT,
        result({"type": "object", "properties": {"a": False}}),
    ),
    (
        "contradiction",
        result({"type": "object", "required": ["a", "b"], "maxProperties": 1}),
        RESULT,
        result({"type": "object", "required": ["a"], "maxProperties": 1}),
    ),
    (
        "dead-alternative",
        result({"anyOf": [TEXT, {"type": "string", "maxLength": 5}]}),
        f"{RESULT}/anyOf/1",
        result({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 5}]}),
    ),
    (
        "dead-alternative",
        result({"type": "string", "anyOf": [{"type": "integer"}, {"maxLength": 5}]}),
        f"{RESULT}/anyOf/0",
        # The known values of an open enum are documentation.
        result({"anyOf": [{"const": "red"}, TEXT]}),
    ),
    (
        "dead-alternative",
        result({"oneOf": [closed(a={"type": "integer"}), closed(a={"type": "number"})]}),
        f"{RESULT}/oneOf/0",
        result({"oneOf": [closed(a={"type": "integer"}), closed(b={"type": "number"})]}),
    ),
    (
        "dead-alternative",
        result(
            {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]},
            A={"allOf": [TEXT, {"type": "null"}]},
        ),
        f"{RESULT}/anyOf/0",
        result({"anyOf": [{"type": "string", "format": "date-time"}, TEXT | {"maxLength": 9}]}),
    ),
    (
        "dead-property",
        result({"allOf": [closed(a=TEXT), {"properties": {"b": TEXT}}]}),
        RESULT,
        result({"allOf": [closed(a=TEXT, b=TEXT), {"properties": {"b": TEXT}}]}),
    ),
    (
        "dead-property",
        result({"propertyNames": {"maxLength": 2}, "properties": {"long": TEXT}}),
        f"{RESULT}/properties/long",
        result({"propertyNames": {"maxLength": 2}, "properties": {"ab": TEXT}}),
    ),
    (
        "dead-property",
        result({"type": "array", "prefixItems": [TEXT, TEXT], "maxItems": 1}),
        f"{RESULT}/prefixItems/1",
        result({"type": "array", "prefixItems": [TEXT, TEXT], "maxItems": 2}),
    ),
    (
        "dead-enum-value",
        result({"type": "string", "enum": ["a", None]}),
        f"{RESULT}/enum/1",
        result({"type": ["string", "null"], "enum": ["a", None]}),
    ),
    (
        "duplicate-enum-value",
        result({"enum": ["a", "b", "a"]}),
        f"{RESULT}/enum/2",
        result({"enum": ["1", 1, True]}),
    ),
    (
        "dead-keyword",
        result({"type": "integer", "maxLength": 4}),
        f"{RESULT}/maxLength",
        result({"type": ["integer", "string"], "maxLength": 4}),
    ),
    ("dead-keyword", result({"then": TEXT}), f"{RESULT}/then", result({"if": TEXT, "then": TEXT})),
    (
        "unknown-required",
        result({"type": "object", "properties": {"a": TEXT}, "required": ["other"]}),
        f"{RESULT}/required/0",
        result(
            {
                "type": "object",
                "properties": {"a": TEXT},
                "required": ["b"],
                "allOf": [{"$ref": "#/$defs/B"}],
            },
            B={"properties": {"b": TEXT}},
        ),
    ),
    (
        "unused-definition",
        result(TEXT, A={"$ref": "#/$defs/B"}, B=TEXT),
        "/$defs/A /$defs/B",
        result({"$ref": "#/$defs/A"}, A={"$ref": "#/$defs/B"}, B=TEXT),
    ),
    (
        "invalid-example",
        result({"type": "integer", "examples": [1, "2"]}),
        f"{RESULT}/examples/1",
        result({"type": "integer", "examples": [1, 2]}),
    ),
    (
        "invalid-example",
        result(closed(a={"$ref": "#/$defs/A", "default": 5}), A={"maximum": 4}),
        f"{RESULT}/properties/a/default",
        result(closed(a={"$ref": "#/$defs/A", "default": 4}), A={"maximum": 4}),
    ),
    (
        "invalid-example",
        result({"format": "date", "examples": ["soon"]}) | {"formats": {"date": "date"}},
        f"{RESULT}/examples/0",
        result({"format": "date", "examples": ["soon"]}),
    ),
    (
        "ambiguous-union",
        result({"anyOf": [closed(a=TEXT), closed(b=TEXT)]}),
        f"{RESULT}/anyOf",
        result({"anyOf": [tagged("a"), tagged("b")]}),
    ),
    (
        "ambiguous-union",
        result(
            {"oneOf": [{"$ref": "#/$defs/A"}, closed(b=TEXT, c=TEXT)]}, A=closed(a=TEXT, b=TEXT)
        ),
        f"{RESULT}/oneOf",
        result(
            {"oneOf": [{"$ref": "#/$defs/A"}, closed(b=TEXT)]},
            A=closed(a=TEXT) | {"required": ["a"]},
        ),
    ),
    (
        "unknown-format",
        result({"type": "integer", "format": "int64"}),
        f"{RESULT}/format",
        result({"type": "string", "format": "date-time"}),
    ),
    (
        "unasserted-format",
        result({"type": "string", "format": "date-time"}),
        f"{RESULT}/format",
        result({"type": "string", "format": "date-time"}) | {"formats": {"date-time": "datetime"}},
    ),
    (
        "narrow-format",
        result({"type": "string", "format": "date"}) | {"formats": {"date": "date"}},
        RESULT,
        result({"type": "string", "format": "uuid"}) | {"formats": {"uuid": "UUID"}},
    ),
    ("unbounded-string", param(TEXT), PARAM, param({"type": "string", "maxLength": 9})),
    (
        "unbounded-string",
        param({"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}, A=closed(a=TEXT)),
        "/$defs/A/properties/a",
        result(TEXT),  # the server sends it
    ),
    (
        "unbounded-string",
        param({"type": "string", "pattern": "^[a-z]+$"}),
        PARAM,
        param({"type": "string", "pattern": "^[a-z]{1,9}$"}),
    ),
    (
        "unbounded-string",
        named("a") | {"callbacks": {"b": {"type": "request", "result": TEXT}}},
        "/callbacks/b/result",
        named("a") | {"callbacks": {"b": {"type": "request", "param": TEXT}}},
    ),
    (
        "unbounded-string",
        param(
            {
                "maxLength": 9,
                "anyOf": [{"enum": ["a"]}, {"type": ["null", "string"]}, {"type": "array"}],
            }
        )
        | {"callbacks": {"b": {"type": "event"}, "c": {"type": "stream", "receive": TEXT}}},
        "/callbacks/c/receive",
        param({"maxLength": 9, "anyOf": [{"enum": ["a"]}, {"type": ["null", "string"]}]}),
    ),
    (
        "unbounded-array",
        param({"type": "array", "items": {"type": "integer"}}),
        PARAM,
        param({"type": "array", "prefixItems": [{"type": "integer"}], "items": False}),
    ),
    (
        "unbounded-map",
        param({"type": "object", "additionalProperties": {"type": "integer"}}),
        PARAM,
        param({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 9}),
    ),
    ("any-value", param(closed(a={"description": "Any."})), f"{PARAM}/properties/a", param(TEXT)),
    ("any-value", param(closed(a=True)), f"{PARAM}/properties/a", result(closed(a=True))),
    ("any-value", param(schema=True), PARAM, param(closed(a={"$ref": "#/$defs/A"}), A=TEXT)),
    (
        "slow-pattern",
        result({"type": "string", "pattern": "^([a-z]+)+$"}),
        f"{RESULT}/pattern",
        result({"type": "string", "pattern": "^([a-z]+-)*[a-z]+$"}),
    ),
    ("slow-union", result({"$ref": "#/$defs/Tree"}, Tree=TREE), "/$defs/Tree", result(TEXT)),
    (
        "needs-validator",
        result({"type": "array", "uniqueItems": True}),
        f"{RESULT}/uniqueItems",
        result({"type": "array"}),
    ),
    (
        "untyped",
        result({"anyOf": [tagged(f"v{i}") for i in range(2100)]}),
        RESULT,
        result({"anyOf": [tagged(f"v{i}") for i in range(20)]}),
    ),
    ("undescribed-procedure", named("a/b", description=" "), "/procedures/a~1b", named("a/b")),
    (
        "undescribed-definition",
        result(TEXT, A=TEXT),
        "/$defs/A",
        result(TEXT, A={"description": "It."}),
    ),
    (
        "undescribed-property",
        result(closed(a=TEXT)),
        f"{RESULT}/properties/a",
        result(closed(a={"description": "It."})),
    ),
    (
        "procedure-name",
        named("area/verb", "Area/Verb", "b"),
        "/procedures/Area~1Verb",
        named("area/verb"),
    ),
    (
        "procedure-name",
        named("area/oneVerb", "area/otherVerb", "area/third_verb"),
        "/procedures/area~1third_verb",
        named("area/oneVerb", "area/otherVerb", "area/verb"),
    ),
    (
        "definition-name",
        result(TEXT, log_level=TEXT),
        "/$defs/log_level",
        result(TEXT, LogLevel=TEXT),
    ),
    (
        "property-name",
        result(closed(oneName=TEXT, otherName=TEXT, third_name=TEXT, plain=TEXT, _meta=TEXT)),
        f"{RESULT}/properties/third_name",
        result(closed(one_name=TEXT, other_name=TEXT, plain=TEXT, _meta=TEXT)),
    ),
]


def write(directory: Path, protocol: Protocol, name: str = "p.json") -> Path:
    path = directory / name
    path.write_text(json.dumps(protocol, indent=1))
    return path


def problems(path: Path, *rules: str) -> list[Problem]:
    found = lint(Request(path, None, None), Settings(frozenset(rules or RULES)))
    return [*found.problems]


@pytest.mark.parametrize(
    ("rule", "wrong", "pointer", "right"),
    CASES,
    ids=[f"{n}-{each[0]}" for n, each in enumerate(CASES)],
)
def test_rule_reports_breach_with_line_and_nothing_else(
    rule: str, wrong: Protocol, pointer: str, right: Protocol, tmp_path: Path
) -> None:
    path = write(tmp_path, wrong)
    found = [each for each in problems(path, rule) if each.rule == rule]
    assert " ".join(each.issue.pointer for each in found) == pointer
    assert all(each.issue.file == str(path) and each.issue.line for each in found)
    assert problems(write(tmp_path, right), rule) == []


def test_every_rule_about_protocols_has_a_case() -> None:
    tested = {rule for rule, *_ in CASES}
    assert RULES.keys() - tested == {"unused-ignore", "incomplete"}


def test_docs_list_all_rules_with_category_and_severity() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (\w+) \| (.+?) \| (.+?) \|$",
        (ROOT / "docs/lint.md").read_text(),
        re.MULTILINE,
    )
    listed = [
        (
            each.id,
            each.category,
            each.severity if each.by_default else f"{each.severity}, off",
            each.summary,
        )
        for each in RULES.values()
    ]
    assert [row for row in rows if row[0] in RULES] == listed


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("(a+)+", True),
        ("^(?:[a-z]+-?)*$", True),
        ("(\\w|\\d)*x", True),
        ("(a*)*", True),
        ("([a-z]+-)+", False),
        ("(a|b)*", False),
        ("(a{2})+", False),
        ("a+", False),
    ],
)
def test_is_exponential_finds_nested_repetitions(pattern: str, expected: bool) -> None:
    assert is_exponential(pattern) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("^a{1,3}$", True),
        ("^a*$", False),
        ("a{1,3}", False),
        ("^a|b$", False),
        ("^(ab?){2}$", True),
    ],
)
def test_is_bounding_needs_both_ends(pattern: str, expected: bool) -> None:
    assert is_bounding(pattern) is expected


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with a protocol that has one warning, and a file that lists it."""
    write(tmp_path, named("Area/Verb", "a", "b"))
    (tmp_path / "pyproject.toml").write_text(LISTED)
    return tmp_path


LISTED = '[[tool.enkaku.protocol]]\nfile = "p.json"\n'
IGNORE = '[[tool.enkaku.lint.ignore]]\nrule = "procedure-name"\n'


def configure(project: Path, text: str) -> None:
    (project / "pyproject.toml").write_text(LISTED + text)


def test_lint_without_arguments_lints_project(project: Path) -> None:
    ran = enkaku("lint", cwd=project)
    assert ran.returncode == 0
    assert ran.stdout.startswith("warning: p.json:3: /procedures/Area~1Verb: expected a name like")
    assert ran.stdout.endswith("[procedure-name]\n")
    assert ran.stderr == "1 warning in 1 protocol\n"
    assert enkaku("lint", "--strict", cwd=project).returncode == 1


def test_lint_error_exits_with_1(tmp_path: Path) -> None:
    write(tmp_path, result({"type": "string", "enum": [1]}))
    assert enkaku("lint", "p.json", cwd=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--select", "procedure-nam"], 'no rule "procedure-nam"; did you mean procedure-name?'),
        (["--ignore", ""], 'no rule ""; expected one of'),
        ([], "expected PROTOCOL"),
    ],
)
def test_lint_usage_error_exits_with_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    ran = enkaku("lint", *arguments, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr


def test_lint_missing_file_exits_with_1(tmp_path: Path) -> None:
    ran = enkaku("lint", "no.json", cwd=tmp_path)
    assert ran.returncode == 1
    assert "no.json: no such file [invalid-protocol]" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--select", "procedure-name"], 1),
        (["--select", "documentation"], 1),
        (["--select", "all", "--ignore", "documentation"], 0),
        (["--select", "cost,robustness"], 0),
        (["--ignore", "procedure-name"], 0),
    ],
)
def test_lint_select_and_ignore_choose_rules(
    arguments: list[str], count: int, project: Path
) -> None:
    assert len(enkaku("lint", *arguments, cwd=project).stdout.splitlines()) == count


def test_lint_settings_select_rules_and_severities(project: Path) -> None:
    configure(project, '[tool.enkaku.lint]\nseverity = { procedure-name = "error" }\n')
    ran = enkaku("lint", cwd=project)
    assert (ran.returncode, ran.stderr) == (1, "1 error in 1 protocol\n")
    configure(project, '[tool.enkaku.lint]\nselect = ["cost"]\n')
    assert enkaku("lint", cwd=project).stdout == ""


@pytest.mark.parametrize(
    "where",
    [
        "",
        'file = "p.json"\n',
        'pointer = "/procedures/Area*"\n',
        'file = "*.json"\npointer = "*"\n',
    ],
)
def test_lint_ignore_with_reason_suppresses(where: str, project: Path) -> None:
    configure(project, f'{IGNORE}reason = "clients know it"\n{where}')
    ran = enkaku("lint", "--strict", cwd=project)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_lint_unused_ignore_is_reported_with_line(project: Path) -> None:
    configure(project, f'{IGNORE}reason = "r"\n{IGNORE}reason = "r"\npointer = "/other"\n')
    expected = (
        "warning: pyproject.toml:6: /tool/enkaku/lint/ignore/1: ignores procedure-name at pointer /other, "
        "and nothing breaks that rule there [unused-ignore]\n"
    )
    assert enkaku("lint", cwd=project).stdout == expected
    # It may be for another file, or another rule than those that were looked for.
    assert enkaku("lint", "p.json", cwd=project).stdout == ""
    assert enkaku("lint", "--select", "cost", cwd=project).stdout == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (IGNORE, '/tool/enkaku/lint/ignore/0: expected "reason"'),
        (
            f'{IGNORE}reason = " "',
            "/ignore/0/reason: expected a string with at least one character",
        ),
        (f'{IGNORE}reason = "r"\nlines = "3"', "/ignore/0/lines: unknown key; expected rule, file"),
        ('[[tool.enkaku.lint.ignore]]\nrule = "x"\nreason = "r"', '/rule: no rule "x"'),
        (
            '[[tool.enkaku.lint.ignore]]\nrule = "incomplete"\nreason = "r"',
            "incomplete cannot be ignored",
        ),
        ("[tool.enkaku.lint]\nignore = 1", "/lint/ignore: expected tables"),
        ("[tool.enkaku.lint]\nselect = 1", "/lint/select: expected an array of rules"),
        ('[tool.enkaku.lint]\nselect = ["x"]', '/lint/select: no rule "x"'),
        ('[tool.enkaku.lint]\nrules = ["x"]', "/lint/rules: unknown key; expected select"),
        ('[tool.enkaku.lint]\nseverity = { x = "note" }', '/severity/x: no rule "x"'),
        (
            '[tool.enkaku.lint]\nseverity = { untyped = "bad" }',
            "/severity/untyped: expected one of error, warning, note",
        ),
    ],
)
def test_lint_wrong_settings_name_location(text: str, message: str, project: Path) -> None:
    configure(project, text)
    ran = enkaku("lint", cwd=project)
    assert ran.returncode == 1
    assert "pyproject.toml" in ran.stderr
    assert message in ran.stderr


def test_lint_inline_ignore_suppresses_all_below(tmp_path: Path) -> None:
    protocol = param(closed(a=TEXT, b=TEXT))
    protocol["procedures"]["area/verb"]["x-lint"] = {"unbounded-string": "the disk is the limit"}
    assert problems(write(tmp_path, protocol), "unbounded-string") == []


@pytest.mark.parametrize(
    ("value", "rule", "message"),
    [
        ({"unbounded-array": "r"}, "unused-ignore", "ignores unbounded-array, and nothing here"),
        ({"unbounded-strin": "r"}, "invalid-protocol", "did you mean unbounded-string?"),
        ({"unbounded-string": ""}, "invalid-protocol", "expected the reason, as a string"),
        (["unbounded-string"], "invalid-protocol", "expected reasons by rule"),
    ],
)
def test_lint_wrong_inline_ignore_is_reported(
    value: Any, rule: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, param({"type": "string", "maxLength": 3, "x-lint": value}))
    (problem,) = problems(path, "unbounded-string", "unbounded-array")
    assert problem.rule == rule
    assert message in problem.issue.message
    assert problem.issue.line


@pytest.mark.parametrize("format_", ["text", "json", "github", "junit", "markdown"])
def test_lint_prints_all_formats(format_: str, project: Path) -> None:
    ran = enkaku("lint", "--format", format_, cwd=project)
    assert ran.returncode == 0
    assert "procedure-name" in ran.stdout
    assert "p.json" in ran.stdout


def test_lint_json_finding_is_an_object_per_line(project: Path) -> None:
    (line,) = enkaku("lint", "--format", "json", cwd=project).stdout.splitlines()
    found = json.loads(line)
    assert (found["rule"], found["line"], found["pointer"]) == (
        "procedure-name",
        3,
        "/procedures/Area~1Verb",
    )


def test_lint_finding_in_other_file_has_its_location(tmp_path: Path) -> None:
    shared = {"$defs": {"Name": {"description": "A name.", "type": "string"}}}
    write(tmp_path, shared, "shared.json")
    write(tmp_path, param({"$ref": "shared.json#/$defs/Name"}))
    (problem,) = problems(tmp_path / "p.json", "unbounded-string", "undescribed-definition")
    assert problem.issue.file == str(tmp_path / "shared.json")
    assert problem.issue.pointer == "/$defs/Name"
    imported = Request(
        tmp_path / "p.json", None, None, imports=(Import(tmp_path / "shared.json", "shared"),)
    )
    assert lint(imported, Settings()).problems == ()  # linted with its own file


def test_lint_escapes_names_of_protocols(tmp_path: Path) -> None:
    write(tmp_path, named("a/b", "a/\x1b[31m", "b"))
    ran = enkaku("lint", "p.json", "--ignore", "invalid-protocol", cwd=tmp_path)
    assert "\x1b" not in ran.stdout
    assert "procedure-name" in ran.stdout


def test_lint_imports_neither_black_nor_model_generator(project: Path) -> None:
    code = (
        "import sys\nfrom enkaku_codegen.commands.main import run\n"
        "assert run(['lint']) == 0\n"
        "print([each for each in ('black', 'datamodel_code_generator', 'jinja2') if each in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "example", sorted((ROOT / "examples").glob("*/protocol.*")), ids=lambda path: path.parent.name
)
def test_protocols_of_examples_are_clean(example: Path) -> None:
    found = [each.rule for each in problems(example, *BY_DEFAULT)]
    # The dashboard's is the protocol that was recorded, in which the name of a service has no limit.
    assert found == (["unbounded-string"] if example.parent.name == "dashboard" else [])


def endless(count: int) -> Protocol:
    return {
        f"D{i}": {"anyOf": [{"$ref": f"#/$defs/D{(i + 1) % count}"}, {"type": "null"}]}
        for i in range(count)
    }


def deep(depth: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


ENDLESS = {
    "anyOf": [
        {"type": "array", "items": {"$ref": "#/$defs/D"}, "maxItems": 5},
        {"type": "array", "items": {"$ref": "#/$defs/D"}, "minItems": 1},
        TEXT,
    ]
}


def nested(depth: int) -> Any:
    """A schema with an example that every level of a recursive union may accept, and the last one rejects."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"$ref": "#/$defs/D", "examples": [value]}


HOSTILE: dict[str, Protocol] = {
    "many definitions": result(TEXT, **{f"D{i}": {"type": "object"} for i in range(12_000)}),
    "long chain": result(
        TEXT,
        **{f"D{i}": {"allOf": [{"$ref": f"#/$defs/D{i + 1}"}]} for i in range(3000)},
        D3000=TEXT,
    ),
    "cycles": result(
        {"$ref": "#/$defs/D0"},
        **{f"D{i}": {"items": {"$ref": f"#/$defs/D{(i + 1) % 3000}"}} for i in range(3000)},
    ),
    "wide unions": result(
        {"anyOf": [closed(a={"anyOf": [{"const": i}, TEXT]}) for i in range(1500)]}
    ),
    "recursive unions": result(
        {"$ref": "#/$defs/D0"},
        **{
            f"D{i}": {
                "oneOf": [closed(a={"$ref": f"#/$defs/D{(i * 7 + j) % 40}"}) for j in range(40)]
            }
            for i in range(40)
        },
    ),
    "large enum": result(
        {"type": "string", "pattern": "^a", "enum": [f"a{i}" for i in range(20_000)]}
    ),
    "shared allOf": result(
        {"$ref": "#/$defs/D0"},
        **{f"D{i}": {"allOf": [{"$ref": f"#/$defs/D{i + 1}"}] * 2} for i in range(60)},
        D60=TEXT,
    ),
    "deep": result(deep(90)),
    "examples": result(
        {"$ref": "#/$defs/D0", "examples": [1] * 20_000}, D0={"anyOf": [TEXT] * 500}
    ),
    "costly example": result(nested(60), D=ENDLESS),
    "shared allOf with example": result(
        {"$ref": "#/$defs/D0", "examples": [1]},
        **{f"D{i}": {"allOf": [{"$ref": f"#/$defs/D{i + 1}"}] * 2} for i in range(60)},
        D60=TEXT,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_lint_hostile_protocol_ends_within_limit(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, HOSTILE[name])
    start = time.process_time()
    lint(Request(path, None, None), Settings(frozenset(RULES)), seconds=3)
    assert time.process_time() - start < 60


def test_lint_costly_examples_are_validated_in_a_process(tmp_path: Path) -> None:
    (problem,) = problems(write(tmp_path, result(nested(6), D=ENDLESS)), "invalid-example")
    assert problem.issue.pointer == f"{RESULT}/examples/0"


def test_lint_time_limit_reports_what_was_skipped(tmp_path: Path) -> None:
    path = write(tmp_path, param(TEXT))
    found = lint(Request(path, None, None), Settings(), seconds=0)
    (problem,) = found.problems
    assert problem.rule == "incomplete"
    assert "what clients may send, definitions, schemas, types, examples" in problem.issue.message


def test_lint_too_many_definitions_skip_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linter, "_MOST_PLANNED", 1)
    (problem,) = problems(write(tmp_path, result(TEXT, A=TEXT)), "needs-validator")
    assert (problem.rule, problem.issue.line) == ("incomplete", 1)


def test_read_project_keeps_lint_settings(project: Path) -> None:
    configure(project, '[tool.enkaku.lint]\nselect = ["cost"]\n')
    found = read_project(project / "pyproject.toml")
    assert found is not None
    assert found.settings["lint"] == {"select": ["cost"]}


def test_categories_are_those_of_rules() -> None:
    assert {each.category for each in RULES.values()} == {*CATEGORIES}
