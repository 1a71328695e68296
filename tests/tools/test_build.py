"""The recipes of docs/builds.md for builds: each accepts a package that is up to date, and rejects a stale one."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from commands import enkaku

ROOT = Path(__file__).parent.parent.parent
FILE = re.compile(r"<!-- file: (\w+)/(\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROTOCOL = "clock/ticks: { type: stream, receive: { type: integer } }\n"
STALE = PROTOCOL.replace("integer", "string")
BUILD = ("python", "-m", "build", "--no-isolation", "--skip-dependency-check")

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with the files of a recipe, and an up-to-date package."""
    directory = tmp_path / "project"
    (directory / "src" / "app").mkdir(parents=True)
    (directory / "src" / "app" / "__init__.py").touch()
    (directory / "protocol.yaml").write_text(PROTOCOL)
    for recipe, name, text in FILE.findall((ROOT / "docs" / "builds.md").read_text()):
        if recipe == request.param:
            (directory / name).write_text(text)
    if not (directory / "pyproject.toml").exists():
        listed = '[[protocol]]\nfile = "protocol.yaml"\nout = "src/app/protocol"\n'
        (directory / "enkaku.toml").write_text(listed)
    assert enkaku("generate", cwd=directory).returncode == 0
    return directory


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # With neither network nor index: what a recipe needs is installed.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": path, "PIP_NO_INDEX": "1", "UV_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def generated(wheel: Path) -> set[str]:
    names = zipfile.ZipFile(wheel).namelist()
    return {name.rpartition("/")[2] for name in names if name.startswith("app/protocol/")}


@pytest.mark.parametrize("project", ["make"], indirect=True)
def test_make_recipe_checks(project: Path) -> None:
    assert run("make", "check", cwd=project).returncode == 0
    (project / "protocol.yaml").write_text(STALE)
    ran = run("make", "check", cwd=project)
    assert ran.returncode == 2
    assert "src/app/protocol: out of date" in ran.stderr
    assert run("make", "generate", "check", cwd=project).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("project", ["hatch", "setuptools"], indirect=True)
def test_build_recipe_checks_wheel_and_sdist(project: Path) -> None:
    ran = run(*BUILD, cwd=project)  # an sdist, and a wheel from it
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (wheel,) = (project / "dist").glob("*.whl")
    assert {"client.py", "models.py", "py.typed"} <= generated(wheel)
    (sdist,) = (project / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert "app-1.0/src/app/protocol/client.py" in archive.getnames()

    (project / "protocol.yaml").write_text(STALE)
    shutil.rmtree(project / "dist")
    for kind in ("--sdist", "--wheel"):
        ran = run(*BUILD, kind, cwd=project)
        assert ran.returncode == 1
        assert "src/app/protocol: out of date" in ran.stdout + ran.stderr
        assert not [*project.glob("dist/*.*")]


@pytest.mark.slow
@pytest.mark.parametrize("project", ["hatch", "setuptools"], indirect=True)
def test_build_recipe_accepts_sdist_without_generator(project: Path, tmp_path: Path) -> None:
    """An sdist is built by people who have other versions, or none."""
    assert run(*BUILD, "--sdist", cwd=project).returncode == 0
    (sdist,) = (project / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / "app-1.0"
    (source / "protocol.yaml").write_text(STALE)
    assert run(*BUILD, "--wheel", cwd=source).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("project", ["hatch", "setuptools"], indirect=True)
def test_build_recipe_installs_stale_package_editable(project: Path, tmp_path: Path) -> None:
    (project / "protocol.yaml").write_text(STALE)
    pip = ("python", "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--target")
    ran = run(*pip, str(tmp_path / "installed"), "--editable", str(project), cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("project", ["uv"], indirect=True)
def test_uv_recipe_checks_before_it_builds(project: Path) -> None:
    text = (ROOT / "docs" / "builds.md").read_text()
    (command,) = re.findall(r"^uv run .* && uv build$", text, re.MULTILINE)
    # The environment of the tests, which has what a synchronized one would have.
    environment = {"UV_NO_SYNC": "1", "UV_PROJECT_ENVIRONMENT": sys.prefix}
    ran = run("bash", "-c", command, cwd=project, **environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (wheel,) = (project / "dist").glob("*.whl")
    assert {"client.py", "models.py", "py.typed"} <= generated(wheel)
    shutil.rmtree(project / "dist")
    (project / "protocol.yaml").write_text(STALE)
    ran = run("bash", "-c", command, cwd=project, **environment)
    assert ran.returncode == 1
    assert "src/app/protocol: out of date" in ran.stderr
    assert not (project / "dist").exists()
