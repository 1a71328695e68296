"""Results of a comparison: all rounds of all peers, and the metrics computed from them."""

import statistics

from pydantic import BaseModel, ConfigDict

from compare.drive import Measured
from compare.suites import SUITES, Suite
from compare.workloads import WORKLOADS, Workload

__all__ = ["Case", "Comparison"]


class Case(BaseModel):
    """The rounds of one peer with one workload on one loop.

    Attributes:
        problem: The error that ended the measurement; ``""`` if there was none.
        missing: Why the peer cannot run the workload; ``""`` if it can.
    """

    model_config = ConfigDict(extra="forbid")

    peer: str
    loop: str
    workload: str
    rounds: list[Measured] = []
    problem: str = ""
    missing: str = ""

    def wall_rates(self) -> tuple[float, float, float]:
        """Return the lowest, the median and the highest rate by wall-clock time."""
        rates = [self._rate(each, each.wall) for each in self.rounds]
        return min(rates), statistics.median(rates), max(rates)

    @property
    def metric(self) -> float:
        """The best round: messages per CPU second of the busier process, or KiB of the server for a session."""
        if self.kind.memory:
            return min(each.server_growth / each.messages / 1024 for each in self.rounds)
        return max(self._rate(each, max(each.client_cpu, each.server_cpu)) for each in self.rounds)

    def cpu(self) -> tuple[float, float]:
        """Return the median CPU seconds of client and server for 100,000 messages."""
        return (
            statistics.median(each.client_cpu / each.messages * 1e5 for each in self.rounds),
            statistics.median(each.server_cpu / each.messages * 1e5 for each in self.rounds),
        )

    def peak(self) -> tuple[int, int]:
        """Return the peak memory of client and server, in bytes."""
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
    """The results of one run.

    Attributes:
        suite: The name of its suite.
        python: The version of Python.
        machine: Operating system and processor.
        cases: In the order of the command line.
        problems: Peers that could not be installed, and the reason.
    """

    model_config = ConfigDict(extra="forbid")

    suite: str = "compare"
    python: str
    machine: str
    cases: list[Case] = []
    problems: dict[str, str] = {}

    def rules(self) -> Suite:
        """Return the suite."""
        return SUITES[self.suite]

    def loops(self) -> list[str]:
        """Return the event loops, in order."""
        return list(dict.fromkeys(each.loop for each in self.cases))

    def peers(self) -> list[str]:
        """Return the peers, in order."""
        return list(dict.fromkeys(each.peer for each in self.cases))

    def workloads(self) -> list[Workload]:
        """Return the workloads, in order."""
        return [WORKLOADS[name] for name in dict.fromkeys(each.workload for each in self.cases)]

    def case(self, peer: str, loop: str, workload: str) -> Case | None:
        """Return a case; None if it was not measured."""
        for each in self.cases:
            if (each.peer, each.loop, each.workload) == (peer, loop, workload):
                return each
        return None

    def ratio(self, case: Case) -> float | None:
        """Return the ratio of a case's metric to the baseline's, on the same event loop in the same run."""
        baseline = self.case(self.rules().baseline, case.loop, case.workload)
        if baseline is None or not baseline.rounds or not case.rounds:
            return None
        return case.metric / baseline.metric
