"""Environments that are made without network: what enkaku needs is the installed packages of this environment."""

import os
import sysconfig
from pathlib import Path

__all__ = ["ROOT", "copy_repository", "offline"]

ROOT = Path(__file__).parent.parent.parent

# What belongs to an environment itself: enkaku, which is to be installed, pip, and what runs when Python starts.
_OWN = ("__", "_virtualenv", "enkaku", "pip")
_COPIED = ("codegen", "runtime", "templates", "pyproject.toml", "README.md", "LICENSE")


def copy_repository(directory: Path) -> None:
    """Make a directory with the files that enkaku is installed from."""
    directory.mkdir()
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            for path in source.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    copied = directory / path.relative_to(ROOT)
                    copied.parent.mkdir(parents=True, exist_ok=True)
                    copied.write_bytes(path.read_bytes())
        else:
            (directory / name).write_bytes(source.read_bytes())


def offline(directory: Path) -> dict[str, str]:
    """Return the variables with which pip finds the packages of this environment in any other, but for enkaku.

    Args:
        directory: An empty directory, which gets links to them.
    """
    directory.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(_OWN) and path.suffix != ".pth":
            (directory / path.name).symlink_to(path)
    return {
        **{key: each for key, each in os.environ.items() if not key.startswith(("PIP_", "UV_"))},
        "PYTHONPATH": str(directory),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # any value turns the isolation off: hatchling is installed, too
        "PIP_NO_WARN_CONFLICTS": "1",
    }
