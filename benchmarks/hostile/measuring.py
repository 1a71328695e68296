"""Runs one attack on a server of its own, and measures what it costs."""

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from hostile.attacks import Aim, Attack

__all__ = ["HOLD_MAX", "LOG_MAX", "REFERENCE", "Cost", "measure"]

HOLD_MAX: Final = 0.050
"""Seconds of CPU time that one callback may use, on a machine that takes ``REFERENCE`` for the reference."""
LOG_MAX: Final = 20 * 1024
"""Bytes that one attack may log."""
REFERENCE: Final = 0.010
"""Seconds of CPU time that ``server.reference()`` takes on the machine that ``HOLD_MAX`` is for."""

_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True)
class Cost:
    """What an attack cost.

    Attributes:
        sent: Bytes that were sent.
        cpu: Seconds of the server.
        hold: Seconds of CPU of the longest callback, and on uvloop of the longest iteration, on the machine that
            ``HOLD_MAX`` is for.
        what: That callback.
        iteration: Seconds of CPU of the longest event-loop iteration.
        collection: Seconds of the longest garbage collection, which ``hold`` excludes.
        garbage: Unreachable objects that were left to the garbage collector.
        before: Resident bytes before the attack.
        peak: The most resident bytes.
        after: Resident bytes after the attack and a garbage collection.
        log: Bytes that were logged.
        reached: How many messages of those who may not call have reached a handler.
        alone: The innocent client's 99th percentile without the attack, in seconds.
        under_attack: The same during the attack.
    """

    sent: int
    cpu: float
    hold: float
    what: str
    iteration: float
    collection: float
    garbage: int
    before: int
    peak: int
    after: int
    log: int
    reached: int
    alone: float
    under_attack: float

    def broken(self, attack: Attack) -> list[str]:
        """Return the bounds that it broke."""
        found = list[str]()
        if self.hold > HOLD_MAX:
            found.append(f"a callback used {self.hold * 1e3:.0f} ms of CPU: {self.what}")
        if self.after - self.before > attack.keeps:
            found.append(f"memory grew by {(self.after - self.before) / 2**20:.0f} MiB")
        if self.log > LOG_MAX:
            found.append(f"{self.log} bytes were logged")
        if self.reached:
            found.append(f"{self.reached} messages that were to be refused have reached a handler")
        return found


class _Server:
    """A server process."""

    def __init__(self, loop: str, address: str, log: Path, *, signed: bool) -> None:
        environment = {**os.environ, "PYTHONPATH": str(_FOLDER.parent)}
        self.log = log
        self.process = subprocess.Popen(  # noqa: S603 # this project's own
            [
                sys.executable,
                "-m",
                "hostile.server",
                loop,
                address,
                str(log),
                *(["signed"] if signed else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        read_line(self.process)

    def costs(self) -> dict[str, float | str]:
        """Return the costs since the last call."""
        write_line(self.process)
        return cast(dict[str, float | str], json.loads(read_line(self.process)))

    def memory(self, name: str = "VmRSS") -> int:
        """Return resident bytes; of Linux."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) * 1024

    def busy(self) -> float:
        """Return the CPU seconds that it has used; of Linux."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def settle(self, before: int, attack: Attack) -> None:
        """Wait until it is idle and has returned memory, for a bounded time."""
        until = time.monotonic() + attack.settles
        used = self.busy()
        while time.monotonic() < until:
            time.sleep(0.3)
            used, last = self.busy(), used
            if used - last < 0.05 and self.memory() - before <= attack.keeps:
                break


def read_line(process: "subprocess.Popen[str]") -> str:
    """Read a line of a process."""
    line = cast(IO[str], process.stdout).readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended")
    return line


def write_line(process: "subprocess.Popen[str]") -> None:
    """Ask a process for a reply."""
    stdin = cast(IO[str], process.stdin)
    stdin.write("\n")
    stdin.flush()


@contextmanager
def _ended(process: "subprocess.Popen[str]") -> Generator[None, None, None]:
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def measure(
    attack: Attack, loop: str, *, seconds: float, tcp: bool = False, alone: float = 0.0
) -> Cost:
    """Attack a server.

    Args:
        attack: The attack.
        loop: ``"asyncio"`` or ``"uvloop"``.
        seconds: How long.
        tcp: Whether over TCP.
        alone: For how long the innocent client is measured before; 0 for no innocent client.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        address = str(_free_port()) if tcp or attack.over_http else f"{directory}/s"
        address = f"http:{address}" if attack.over_http else address
        server = _Server(loop, address, Path(directory, "log"), signed=attack.signed)
        with _ended(server.process):
            return _attack(attack, server, address, seconds, alone)


def _attack(attack: Attack, server: _Server, address: str, seconds: float, alone: float) -> Cost:
    run = attack.make()
    waits = list[tuple[float, float]]()
    innocent = (
        None
        if not alone
        else subprocess.Popen(  # noqa: S603 # this project's own
            [
                sys.executable,
                *(
                    ["-m", "hostile.innocent", address, "signed"]
                    if attack.signed
                    else ["-S", str(_FOLDER / "innocent.py"), address]
                ),
            ],
            env={**os.environ, "PYTHONPATH": str(_FOLDER.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    if innocent is not None:
        read_line(innocent)
        time.sleep(alone)
    server.costs()
    before = server.memory()
    aim = Aim(address, seconds)
    began = time.monotonic()
    run(aim)
    ended = time.monotonic()
    server.settle(before, attack)
    costs = server.costs()
    after = server.memory()
    if innocent is not None:
        out, _ = innocent.communicate("\n", timeout=60)
        waits = cast(list[tuple[float, float]], json.loads(out))
    return Cost(
        sent=aim.sent,
        cpu=float(costs["cpu"]),
        hold=float(costs["callback"]),
        what=str(costs["what"]),
        iteration=float(costs["iteration"]),
        collection=float(costs["collection"]),
        garbage=int(costs["garbage"]),
        before=before,
        peak=server.memory("VmHWM"),
        after=after,
        log=server.log.stat().st_size if server.log.exists() else 0,
        reached=int(costs["reached"]),
        alone=_percentile([took for at, took in waits if at < began]),
        under_attack=_percentile([took for at, took in waits if began <= at < ended]),
    )


def _percentile(waits: list[float]) -> float:
    return sorted(waits)[len(waits) * 99 // 100] if waits else 0.0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return cast(int, found.getsockname()[1])
