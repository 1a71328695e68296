"""What a comparison found: every round of every peer, and how it is judged."""

import statistics
from typing import Final

from pydantic import BaseModel, ConfigDict

from compare.drive import Measured
from compare.workloads import WORKLOADS, Workload

__all__ = ["FLOOR", "Case", "Comparison"]

FLOOR: Final = "floor"
"""The peer that the others are compared with."""


class Case(BaseModel):
    """The rounds of one peer with one workload on one loop.

    Attributes:
        problem: Why there are no rounds, or no more of them; ``""`` where all is well.
    """

    model_config = ConfigDict(extra="forbid")

    peer: str
    loop: str
    workload: str
    rounds: list[Measured] = []
    problem: str = ""

    def wall_rates(self) -> tuple[float, float, float]:
        """Give the least, the median and the highest rate by the clock on the wall."""
        rates = [self._rate(each, each.wall) for each in self.rounds]
        return min(rates), statistics.median(rates), max(rates)

    @property
    def cpu_rate(self) -> float:
        """The judge: the rate at which the busier process would fill one core, in its least disturbed round."""
        return max(self._rate(each, max(each.client_cpu, each.server_cpu)) for each in self.rounds)

    def cpu(self) -> tuple[float, float]:
        """Give the median CPU seconds of client and server for 100,000 messages."""
        return (
            statistics.median(each.client_cpu / each.messages * 1e5 for each in self.rounds),
            statistics.median(each.server_cpu / each.messages * 1e5 for each in self.rounds),
        )

    def peak(self) -> tuple[int, int]:
        """Give the highest memory of client and server, in bytes."""
        return (
            max(each.client_rss for each in self.rounds),
            max(each.server_rss for each in self.rounds),
        )

    def _rate(self, measured: Measured, seconds: float) -> float:
        return measured.messages * self.kind.unit / seconds

    @property
    def kind(self) -> Workload:
        """The workload itself."""
        return WORKLOADS[self.workload]


class Comparison(BaseModel):
    """Everything that one run found.

    Attributes:
        python: The version of Python.
        machine: What it ran on, in short.
        cases: In the order in which they were asked for.
        problems: Peers that could not be installed, and why.
    """

    model_config = ConfigDict(extra="forbid")

    python: str
    machine: str
    cases: list[Case] = []
    problems: dict[str, str] = {}

    def loops(self) -> list[str]:
        """Give the loops, in order."""
        return list(dict.fromkeys(each.loop for each in self.cases))

    def peers(self) -> list[str]:
        """Give the peers, in order."""
        return list(dict.fromkeys(each.peer for each in self.cases))

    def workloads(self) -> list[Workload]:
        """Give the workloads, in order."""
        return [WORKLOADS[name] for name in dict.fromkeys(each.workload for each in self.cases)]

    def case(self, peer: str, loop: str, workload: str) -> Case | None:
        """Find a case."""
        for each in self.cases:
            if (each.peer, each.loop, each.workload) == (peer, loop, workload):
                return each
        return None

    def ratio(self, case: Case) -> float | None:
        """Compare a case with the floor of the same loop in the same run."""
        floor = self.case(FLOOR, case.loop, case.workload)
        if floor is None or not floor.rounds or not case.rounds:
            return None
        return case.cpu_rate / floor.cpu_rate
