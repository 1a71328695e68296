"""Tables of a comparison's results."""

from collections.abc import Iterator, Sequence
from typing import Final

from compare.results import Case, Comparison

__all__ = ["details", "render", "summary"]

_MIB: Final = 2**20


def render(comparison: Comparison) -> str:
    """Return all tables as text."""
    lines = [f"Python {comparison.python}, {comparison.machine}"]
    for loop in comparison.loops():
        lines += details(comparison, loop)
    for loop in comparison.loops():
        lines += ["", *summary(comparison, loop)]
    return "\n".join(lines)


def details(comparison: Comparison, loop: str) -> Iterator[str]:
    """Return the table of each workload."""
    for workload in comparison.workloads():
        metric = "KiB/session" if workload.memory else "per CPU s"
        heads = ("", "wall rate", "min .. max", "s/100k client", "server", metric, "x baseline")
        heads += ("MiB client", "server")
        yield f"\n{workload.title}  ({loop})"
        cases = [comparison.case(peer, loop, workload.name) for peer in comparison.peers()]
        found = [case for case in cases if case is not None]
        yield from _aligned([heads, *(_row(comparison, case) for case in found if case.rounds)])
        yield from (
            f"  {case.peer}: {case.problem or case.missing}"
            for case in found
            if case.problem or case.missing
        )


def summary(comparison: Comparison, loop: str) -> Iterator[str]:
    """Return the metric of each peer and workload, and its ratio to the baseline; ``!`` marks a failed round."""
    yield f"Messages (MB) per CPU second of the busier process, best round, and x {comparison.rules().baseline}; {loop}"
    titles = [workload.title.rpartition(", ")[0] for workload in comparison.workloads()]
    rows: list[Sequence[str]] = [("", *titles)]
    for peer in comparison.peers():
        cells = [
            _cell(comparison, comparison.case(peer, loop, workload.name))
            for workload in comparison.workloads()
        ]
        rows.append((peer, *cells))
    yield from _aligned(rows)
    yield from (f"  {peer} {problem}" for peer, problem in comparison.problems.items())
    for case in comparison.cases:
        if case.missing and case.loop == loop:
            yield f"  {case.peer}, {case.kind.title.rpartition(', ')[0]}: {case.missing}"


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
        f"{case.metric:,.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        *peaks,
    )


def _cell(comparison: Comparison, case: Case | None) -> str:
    if case is not None and case.missing:
        return ""
    if case is None or not case.rounds:
        return "failed"
    ratio = comparison.ratio(case)
    text = f"{case.metric:,.0f}" + ("" if ratio is None else f" {ratio:5.2f}")
    return f"{text}!" if case.problem else text


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield f"  {row[0].ljust(widths[0])}  {'  '.join(cells)}".rstrip()
