"""The tables that a comparison is read in."""

from collections.abc import Iterator, Sequence
from typing import Final

from compare.results import Case, Comparison

__all__ = ["details", "render", "summary"]

_MIB: Final = 2**20


def render(comparison: Comparison) -> str:
    """Write everything."""
    lines = [f"Python {comparison.python}, {comparison.machine}"]
    for loop in comparison.loops():
        lines += details(comparison, loop)
    for loop in comparison.loops():
        lines += ["", *summary(comparison, loop)]
    lines += _problems(comparison)
    return "\n".join(lines)


def details(comparison: Comparison, loop: str) -> Iterator[str]:
    """Write each workload's table."""
    heads = ("", "wall rate", "min .. max", "s/100k client", "server", "per CPU s", "x floor")
    heads += ("MiB client", "server")
    for workload in comparison.workloads():
        yield f"\n{workload.title}  ({loop})"
        rows: list[Sequence[str]] = [heads]
        for peer in comparison.peers():
            case = comparison.case(peer, loop, workload.name)
            if case is not None and case.rounds:
                rows.append(_row(comparison, case))
        yield from _aligned(rows)


def summary(comparison: Comparison, loop: str) -> Iterator[str]:
    """Write the judge's rate of each peer and workload, and the ratio to the floor."""
    yield f"Messages (MB) a CPU second of the busier process, its least disturbed round, and x floor; {loop}"
    titles = [workload.title.rpartition(", ")[0] for workload in comparison.workloads()]
    rows: list[Sequence[str]] = [("", *titles)]
    for peer in comparison.peers():
        cells = [
            _cell(comparison, comparison.case(peer, loop, workload.name))
            for workload in comparison.workloads()
        ]
        rows.append((peer, *cells))
    yield from _aligned(rows)


def _row(comparison: Comparison, case: Case) -> Sequence[str]:
    least, median, most = case.wall_rates()
    cpus = [f"{each:.2f}" for each in case.cpu()]
    peaks = [f"{each / _MIB:.0f}" for each in case.peak()]
    ratio = comparison.ratio(case)
    return (
        case.peer,
        f"{median:,.0f}",
        f"{least:,.0f} .. {most:,.0f}",
        *cpus,
        f"{case.cpu_rate:,.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        *peaks,
    )


def _cell(comparison: Comparison, case: Case | None) -> str:
    if case is None or not case.rounds:
        return "-"
    ratio = comparison.ratio(case)
    return f"{case.cpu_rate:,.0f}" + ("" if ratio is None else f" {ratio:5.2f}")


def _problems(comparison: Comparison) -> Iterator[str]:
    if comparison.problems or any(case.problem for case in comparison.cases):
        yield "\nMissing:"
    for peer, problem in comparison.problems.items():
        yield f"  {peer}: {problem}"
    for case in comparison.cases:
        if case.problem:
            yield f"  {case.peer}, {case.workload}, {case.loop}: {case.problem}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield f"  {row[0].ljust(widths[0])}  {'  '.join(cells)}".rstrip()
