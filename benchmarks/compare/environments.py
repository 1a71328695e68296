"""Virtual environments: one per peer with its own requirements, in ``.bench/<peer>``."""

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path
from typing import Final

from compare.peer import MODULES

__all__ = ["Failed", "missing_of", "python_of", "requirements_of"]

ROOT: Final = Path(__file__).parents[2]
_PEERS: Final = Path(__file__).parent / "peers"
_EVERYBODY: Final = ("pydantic", "msgspec", "typing-extensions", "uvloop")
_OURSELVES: Final = frozenset({"enkaku", "enkaku-ws", "enkaku-http"})


class Failed(Exception):
    """Installing or running a peer failed; the message is one line."""


def requirements_of(peer: str) -> tuple[str, ...]:
    """Return the requirements of a peer's module."""
    found = _read_constant(peer, "REQUIREMENTS")
    if found is None:
        raise Failed(f"{MODULES[peer]}.py must define REQUIREMENTS")
    return tuple(str(each) for each in ast.literal_eval(found))


def missing_of(peer: str) -> dict[str, str]:
    """Return the workloads that a peer cannot run, and why."""
    found = _read_constant(peer, "MISSING")
    return {} if found is None else dict(ast.literal_eval(found))


def _read_constant(peer: str, name: str) -> ast.expr | None:
    """Find a constant of a module without importing it: its requirements may not be installed."""
    path = _PEERS / f"{MODULES[peer]}.py"
    if not path.exists():
        raise Failed(f"{path.name} is missing")
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if (
                target == name
            ):
                return value
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                return value
            case _:
                pass
    return None


def python_of(peer: str) -> Path:
    """Create or update a peer's environment, and return its interpreter.

    Raises:
        Failed: Something cannot be installed.
    """
    folder = ROOT / ".bench" / peer
    python, stamp = folder / "bin" / "python", folder / ".ready"
    common = [f"{name}=={importlib.metadata.version(name)}" for name in _EVERYBODY]
    wanted = [*common, *requirements_of(peer)]
    if peer in _OURSELVES:
        wanted += "--editable", str(ROOT)
    text = "\n".join([sys.version, *wanted])
    if peer in _OURSELVES:
        text += (ROOT / "pyproject.toml").read_text()  # a dependency may be new
    if not stamp.exists() or stamp.read_text() != text:
        print(f"installing {peer} into {folder.relative_to(ROOT)}", flush=True)
        _run(sys.executable, "-m", "venv", "--clear", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", *wanted)
        stamp.write_text(text)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 # ours
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        raise Failed((errors or lines or ["no output"])[-1])
