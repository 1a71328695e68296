"""Both type checkers accept what is generated, at their strictest, and tell its users what they do wrong."""

import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from commands import enkaku
from once import shared_directory
from slow import slow_but
from test_docs import ROOT, fences
from typecheck.checkers import CHECKERS, Findings, check
from typecheck.packages import GOLDENS, QUICK, WRITERS

# One process has all of it, and starts each checker once.
pytestmark = [pytest.mark.xdist_group("typecheck"), pytest.mark.timeout(600)]

HERE = Path(__file__).parent
PAGES = [ROOT / "docs" / "composition.md", ROOT / "docs" / "hooks.md"]
COMMENT = re.compile(r"# told: (?P<pyright>\w+), (?P<mypy>[\w-]+)$")


@pytest.fixture(scope="session")
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the packages that the tests of this run ask for."""
    directory = tmp_path_factory.mktemp("typecheck")
    shared = shared_directory(tmp_path_factory)
    asked = {_package(item) for item in request.session.items} - {None}
    for name in WRITERS:
        if name in asked or name in GOLDENS:
            WRITERS[name](directory / name, shared)
    for page in PAGES:
        _write_page(page, directory)
    for path in directory.rglob("__pycache__"):
        shutil.rmtree(path)
    for name in ("correct.py", "mistakes.py"):
        shutil.copy(HERE / name, directory)
    return directory


def _write_page(page: Path, directory: Path) -> None:
    """Write the programs of a document, and the packages that they import."""
    for fence in fences(page):
        if fence.mark == "file":
            (directory / fence.name).write_text(fence.body)
        for line in fence.body.splitlines():
            if line.startswith("$ enkaku generate"):
                assert enkaku(*line.split()[2:], cwd=directory).returncode == 0


def _package(item: pytest.Item) -> str | None:
    if (
        isinstance(item, pytest.Function)
        and item.function is test_generated_package_passes_type_checker
    ):
        return str(item.callspec.params["package"])
    return None


@pytest.fixture(scope="session")
def findings(project: Path) -> Findings:
    return check(project)


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("package", slow_but(QUICK, WRITERS))
def test_generated_package_passes_type_checker(
    findings: Findings, package: str, checker: str
) -> None:
    assert findings.of(checker, package) == []


def test_type_checker_reads_every_file(findings: Findings, project: Path) -> None:
    count = len([*project.rglob("*.py")])
    assert findings.counts == dict.fromkeys(CHECKERS, count)


@pytest.mark.parametrize("checker", CHECKERS)
def test_correct_usage_passes_type_checker(findings: Findings, checker: str) -> None:
    assert findings.of(checker, "correct.py") == []


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize(
    "program",
    [each.name for page in PAGES for each in fences(page) if each.name.endswith(".py")],
)
def test_program_of_document_passes_type_checker(
    findings: Findings, program: str, checker: str
) -> None:
    assert findings.of(checker, program) == []


@pytest.mark.parametrize("checker", CHECKERS)
def test_mistakes_are_reported_by_type_checker(findings: Findings, checker: str) -> None:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    expected = {
        number: matched[checker]
        for number, line in enumerate(lines, start=1)
        if (matched := COMMENT.search(line)) and matched[checker] != "-"
    }
    found = defaultdict[int, set[str]](set)
    for each in findings.of(checker, "mistakes.py"):
        found[each.line].add(each.rule)
    # One mistake may have more than one consequence on its line, but none elsewhere.
    assert found.keys() == expected.keys()
    assert {n: rule for n, rule in expected.items() if rule not in found[n]} == {}
