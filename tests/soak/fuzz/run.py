"""Run of the fuzzer: sends batches of lines to one side, and checks invariants after each."""

import asyncio
import tempfile
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .client_side import ClientSide
from .server_side import ServerSide
from .watch import Flatness, Watch

__all__ = ["LINES_A_BATCH", "SIDES", "Outcome", "fuzz"]

LINES_A_BATCH: Final = 200
_SIDES: Final = {side.name: side for side in (ServerSide, ClientSide)}
SIDES: Final = tuple(_SIDES)
_WARM_UP: Final = 0.2  # of the batches, whose memory growth is ignored


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of a run.

    Attributes:
        reached: How many calls reached a handler, or ended with a message of the server.
        found: The findings, each with the name of its batch.
        grown: Growth of memory after the warm-up, in blocks and bytes.
    """

    side: str
    lines: int
    seconds: float
    reached: int
    found: tuple[str, ...]
    grown: tuple[int, int]


def fuzz(side: str, seed: str, batches: range) -> Outcome:
    """Send batches to the ``"server"`` or the ``"client"``."""
    start = time.monotonic()
    watch, flatness = Watch(), Flatness()
    with tempfile.TemporaryDirectory(prefix="enk-") as directory:
        fuzzed = _SIDES[side](Path(directory) / "s", seed, watch)
        asyncio.run(_run(fuzzed, batches, watch, flatness))
    if flatness.fault:
        watch.add(flatness.fault)
    return Outcome(
        side,
        len(batches) * LINES_A_BATCH,
        time.monotonic() - start,
        fuzzed.reached,
        tuple(watch.found),
        flatness.grown,
    )


async def _run(
    fuzzed: ServerSide | ClientSide, batches: range, watch: Watch, flatness: Flatness
) -> None:
    samples = {batches[round((len(batches) - 1) * _WARM_UP)], batches[-1]}
    async with watch.watching(), aclosing(fuzzed.run(batches, LINES_A_BATCH)) as done:
        # Checked while the server runs: stopping it would hide its leaks.
        async for number in done:
            if number in samples:
                flatness.sample()
