"""Search for failing programs: hypothesis generates programs, and shrinks those that fail.

A search consists of batches, each with its own seed, so that several processes can share it and memory stays flat.
"""

import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from .loop import Clock, SteppedLoop
from .program import run
from .wire import Mistake

__all__ = ["Outcome", "search", "search_batch"]

BATCH: Final = 1_000
_LENGTH: Final = (60, 220)  # of a program, in steps


@dataclass
class Outcome:
    """Results of programs.

    Attributes:
        programs: How many were run, including those of shrinking.
        steps: Counts of state transitions, by side, source and target.
        reached: Counts of other events of interest.
        found: The failures, each with the shortest program that shows it.
    """

    programs: int = 0
    steps: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    reached: Counter[str] = field(default_factory=Counter[str])
    found: list[str] = field(default_factory=list[str])

    def add(self, other: "Outcome") -> None:
        self.programs += other.programs
        self.steps += other.steps
        self.reached += other.reached
        self.found += other.found


def search_batch(
    number: int,
    name: str,
    programs: int = BATCH,
    *,
    shorten: bool = True,
    mistake: Mistake | None = None,
) -> Outcome:
    """Run a number of programs, and stop at the first failure.

    Args:
        number: The number of the batch.
        name: The seed of the search.
        shorten: Whether to shrink a failing program.
        mistake: A mutation of one side's messages; None for none.
    """
    outcome = Outcome()
    loop = SteppedLoop(Clock())

    def attempt(program: bytes) -> None:
        nonlocal loop
        outcome.programs += 1
        try:
            world = run(loop, program, mistake)
        except BaseException:
            loop.close()
            loop = SteppedLoop(Clock())
            raise
        outcome.reached += world.model.reached
        for side, steps in world.transitions.items():
            for (before, after), count in steps.items():
                outcome.steps[side, before, after] += count

    attempts = given(st.binary(min_size=_LENGTH[0], max_size=_LENGTH[1]))(attempt)
    phases = (Phase.generate, Phase.shrink) if shorten else (Phase.generate,)
    bounded = settings(
        max_examples=programs,
        phases=phases,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        seed(f"{name} {number}")(bounded(attempts))()
    except Exception as error:  # noqa: BLE001 # any exception is a finding
        notes = "\n".join(getattr(error, "__notes__", ()))
        outcome.found.append(f"{type(error).__name__}: {error}\n{notes}")
    finally:
        loop.close()
    return outcome


def search(programs: int, name: str, *, processes: int = 2, loudly: bool = False) -> Outcome:
    """Run a number of programs in several processes."""
    whole, batches = Outcome(), range(-(-programs // BATCH))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for work in as_completed([pool.submit(search_batch, batch, name) for batch in batches]):
            whole.add(work.result())
            if loudly and sys.stdout.isatty():
                sys.stdout.write(f"\r{whole.programs} programs, {len(whole.found)} findings ")
                sys.stdout.flush()
    return whole
