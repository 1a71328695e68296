"""What a user installs: wheel and sdist, in bare environments, from the repository's own files.

Builds and environments have the locked versions, so that a new version of a dependency changes no result here.
``make test-latest`` tries the newest.
"""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from enkaku import delegate
from identity.peers import ALICE, BOB

ROOT = Path(__file__).parent.parent
PROTOCOL = (
    '{"counter": {"type": "stream", "param": {"type": "integer"}, "receive": {"type": "integer"}}}'
)
NOT_LOCKED = {"enkaku", "pip", "setuptools"}
INEXACT = '{"tag": {"type": "event", "data": {"type": "array", "uniqueItems": true}}}'

pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path, expect: int = 0) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def install(home: Path, constraints: Path, *what: str | Path) -> None:
    """Install into an environment, in the locked versions."""
    pip = (
        home / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    )
    run(*pip, "--constraint", constraints, *what, cwd=home)


@pytest.fixture(scope="module")
def constraints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The locked versions without their hashes, since there is none of the wheel that is built here."""
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    pins = [line.removesuffix("\\") for line in lines if "==" in line and line[0].isalnum()]
    path = tmp_path_factory.mktemp("constraints") / "constraints.txt"
    path.write_text("\n".join(pins))
    return path


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return out


@pytest.fixture(scope="module")
def bare(dist: Path, constraints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and the runtime's dependencies, and nothing else."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=True)
    (wheel,) = dist.glob("*.whl")
    install(home, constraints, wheel)
    return home


def test_wheel_contains_three_packages_and_their_data(dist: Path) -> None:
    (wheel,) = dist.glob("*-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {
        "enkaku",
        "enkaku_codegen",
        "enkaku_templates",
    }
    for package in ("enkaku", "enkaku_codegen", "enkaku_templates"):
        assert f"{package}/py.typed" in names
    assert "enkaku_codegen/protocol.schema.json" in names
    web = ("enkaku.js", "enkaku.d.ts", "login.js", "callbacks.js", "callbacks.d.ts")
    assert {f"enkaku/web/{name}" for name in web} <= set(names)
    templates = ROOT / "templates" / "enkaku_templates"
    for template in templates.rglob("*.jinja"):
        assert f"enkaku_templates/{template.relative_to(templates).as_posix()}" in names


def test_sdist_builds_same_wheel(dist: Path, tmp_path: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel")
    run(*build, "--outdir", tmp_path / "out", source, cwd=tmp_path)
    (again,) = (tmp_path / "out").glob("*.whl")
    (wheel,) = dist.glob("*.whl")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_runtime_imports_with_only_its_dependencies(bare: Path) -> None:
    python = bare / "bin" / "python"
    listed = run(python, "-m", "pip", "list", "--format=freeze", cwd=bare).lower()
    for absent in ("jinja2", "jsonschema", "jsonschema-rs", "datamodel", "black", "yaml"):
        assert absent not in listed
    version = run(python, "-W", "error", "-c", "import enkaku; print(enkaku.VERSION)", cwd=bare)
    assert version.strip() == metadata.version("enkaku")


GENERATE = ("generate", "x.json", "--out", "x")
VERIFY = ("token", "verify", "x.token")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [(GENERATE, "codegen"), (("key", "make", "x.key"), "identity"), (VERIFY, "identity")],
)
def test_command_without_extra_names_package_to_install(
    arguments: tuple[str, ...], extra: str, bare: Path
) -> None:
    (bare / "x.token").write_text(delegate(ALICE, to=BOB.did, act="*", res="*", expires_in=60))
    said = run(bare / "bin" / "enkaku", *arguments, cwd=bare, expect=1)
    assert f"pip install 'enkaku[{extra}]'" in said
    assert said.count("enkaku[") == 1
    assert "Traceback" not in said


def test_identity_commands_need_their_extra_alone(
    dist: Path, constraints: Path, tmp_path: Path
) -> None:
    home = tmp_path / "identity"
    venv.create(home, with_pip=True)
    (wheel,) = dist.glob("*.whl")
    install(home, constraints, f"{wheel}[identity]")
    enkaku = home / "bin" / "enkaku"
    made = run(enkaku, "key", "make", "a.key", cwd=tmp_path)
    assert run(enkaku, "key", "show", "a.key", cwd=tmp_path) == made
    did = made.strip()
    options = ("--key", "a.key", "--to", did, "--act", "*", "--res", did, "--expires-in", "1h")
    (tmp_path / "x.token").write_text(run(enkaku, "token", "make", *options, cwd=tmp_path))
    assert f"caller: {did}\n" in run(enkaku, *VERIFY, cwd=tmp_path)
    assert '"act"' in run(enkaku, "token", "show", "x.token", cwd=tmp_path)
    said = run(enkaku, *GENERATE, cwd=tmp_path, expect=1)
    assert "pip install 'enkaku[codegen]'" in said


def test_installed_versions_are_the_locked_ones(bare: Path, constraints: Path) -> None:
    listed = run(bare / "bin" / "python", "-m", "pip", "list", "--format=freeze", cwd=bare)
    pins = [each.replace("_", "-").lower() for each in listed.split()]
    installed = {each for each in pins if each.partition("==")[0] not in NOT_LOCKED}
    assert {each.partition("==")[0] for each in installed} >= {"msgspec", "pydantic"}
    assert installed <= {line.split()[0] for line in constraints.read_text().split("\n")}


def test_generator_runs_from_wheel_and_output_without_it(
    dist: Path, bare: Path, constraints: Path, tmp_path: Path
) -> None:
    home = tmp_path / "full"
    venv.create(home, with_pip=True)
    (wheel,) = dist.glob("*.whl")
    python = home / "bin" / "python"
    install(home, constraints, f"{wheel}[codegen]")
    (tmp_path / "steps.json").write_text(PROTOCOL)
    run(home / "bin" / "enkaku", "generate", "steps.json", "--out", "app/steps", cwd=tmp_path)
    run(home / "bin" / "enkaku", "check", "steps.json", "--out", "app/steps", cwd=tmp_path)
    program = "from app.steps import COUNTER, StepsClient, StepsHandler; print(COUNTER.name)"
    assert run(bare / "bin" / "python", "-W", "error", "-c", program, cwd=tmp_path) == "counter\n"

    # A package that needs the validator says so when it is imported, and what to type.
    (tmp_path / "tags.json").write_text(INEXACT)
    told = run(home / "bin" / "enkaku", "generate", "tags.json", "--out", "app/tags", cwd=tmp_path)
    assert "pip install 'enkaku[exact]'" in told
    program = "import app.tags"
    said = run(bare / "bin" / "python", "-c", program, cwd=tmp_path, expect=1)
    assert "pip install 'enkaku[exact]'" in said.splitlines()[-1]
    run(python, "-W", "error", "-c", program, cwd=tmp_path)
