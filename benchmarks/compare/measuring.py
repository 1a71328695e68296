"""One round: starts a server process and a client process, and reads the client's measurements."""

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
_START: Final = 30.0  # seconds, the time limit of a server's start
_ROUND: Final = 60.0  # seconds, the time limit of a round
# Random hash seeds change the layout of dictionaries, and so the times.
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
                raise Failed(f"the round must take at most {_ROUND:g} s") from None
    if done.returncode:
        raise Failed(_reason(done.stderr))
    return Measured.model_validate_json(done.stdout.splitlines()[-1])


@contextmanager
def _serving(python: Path, peer: str, path: str, loop: str) -> Generator[int, None, None]:
    """Run a server during the block, and return its process id."""
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
    """Return the error line of a traceback; of an exception group, that of the first exception."""
    lines = [line.strip(" |+-") for line in text.splitlines()]
    errors = [line for line in lines if line.partition(":")[0].endswith(("Error", "Record"))]
    return (errors or [line for line in lines if line] or ["no output"])[-1]
