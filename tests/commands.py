"""The command ``enkaku``, within the process of the test: a process of its own would spend most of its time on imports."""

import contextlib
import io
import subprocess
from pathlib import Path

from enkaku_codegen.commands.main import run

__all__ = ["enkaku"]


def enkaku(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory, and return what a process would have left."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*map(str, arguments)])
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
