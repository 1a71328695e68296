"""One round: a fresh server process, a client process, and what the client's says."""

import os
import selectors
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from compare.drive import Measured
from compare.environments import Failed

__all__ = ["measure"]

_BENCHMARKS: Final = Path(__file__).parents[1]
_START: Final = 30.0  # seconds until a server must be ready
_ROUND: Final = 60.0  # seconds that a round may take
# Hashes that differ from process to process make dictionaries, and so times, differ.
_ENVIRONMENT: Final = {**os.environ, "PYTHONPATH": str(_BENCHMARKS), "PYTHONHASHSEED": "0"}


def measure(python: Path, peer: str, loop: str, workload: str, scale: float) -> Measured:
    """Measure one round.

    Raises:
        Failed: The server or the client does.
    """
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        path = f"{directory}/s"
        with _serving(python, peer, path, loop) as server:
            command = [python, "-m", "compare.drive", peer, path, workload, str(server)]
            options = ["--loop", loop, "--scale", str(scale)]
            try:
                done = subprocess.run(  # noqa: S603 # ours
                    [*command, *options],
                    env=_ENVIRONMENT,
                    capture_output=True,
                    text=True,
                    timeout=_ROUND,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise Failed(f"not done after {_ROUND:g} s") from None
    if done.returncode:
        raise Failed(_reason(done.stderr))
    return Measured.model_validate_json(done.stdout.splitlines()[-1])


@contextmanager
def _serving(python: Path, peer: str, path: str, loop: str) -> Generator[int, None, None]:
    """Have a server, and give its process id."""
    command = [python, "-m", "compare.serve", peer, path, "--loop", loop]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(  # noqa: S603 # ours
            command, env=_ENVIRONMENT, stdout=subprocess.PIPE, stderr=errors
        ) as server,
    ):
        try:
            if not server.stdout or not _line_within(server.stdout, _START):
                errors.seek(0)
                raise Failed(f"its server does not start: {_reason(errors.read())}")
            yield server.pid
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()


def _line_within(pipe: IO[bytes], seconds: float) -> bytes:
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return pipe.readline() if selector.select(seconds) else b""


def _reason(text: str) -> str:
    """Find the line of a traceback that says what happened; that of a group's first error, not of the group."""
    lines = [line.strip(" |+-") for line in text.splitlines()]
    errors = [line for line in lines if line.partition(":")[0].endswith(("Error", "Record"))]
    return (errors or [line for line in lines if line] or ["it says nothing"])[-1]
