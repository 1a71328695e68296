"""Plot of a comparison: a panel per workload, a bar per peer and event loop; as PNG and SVG."""

# pyright: reportUnknownMemberType=false
# The types of matplotlib have gaps.

from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from compare.results import Comparison
from compare.suites import Suite
from compare.workloads import Workload

__all__ = ["draw"]

_COLUMNS: Final = 4
_BASELINE: Final = "#8c8c8c"
_OURS: Final = "#c2410c"
_OTHERS: Final = "#3b6ea5"
_FAINT: Final = 0.45  # opacity of the bars of every event loop but the first


def draw(comparison: Comparison, stem: Path) -> None:
    """Write ``<stem>.png`` and ``<stem>.svg``."""
    workloads = comparison.workloads()
    rows = -(-(len(workloads) + 1) // _COLUMNS)
    # A fixed salt, so that the same results give the same file.
    with mpl.rc_context({"svg.hashsalt": "enkaku", "font.size": 9}):
        figure = Figure(figsize=(3.6 * _COLUMNS, 3.1 * rows), layout="constrained")
        for place, workload in enumerate(workloads, start=1):
            _panel(figure.add_subplot(rows, _COLUMNS, place), comparison, workload)
        _legend(figure.add_subplot(rows, _COLUMNS, rows * _COLUMNS), comparison)
        figure.savefig(stem.with_suffix(".png"), dpi=110, facecolor="white")
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})


def _panel(axes: Axes, comparison: Comparison, workload: Workload) -> None:
    peers, loops = comparison.peers(), comparison.loops()
    height = 0.8 / len(loops)
    most = max(
        (
            case.metric
            for case in comparison.cases
            if case.rounds and case.workload == workload.name
        ),
        default=1.0,
    )
    for row, peer in enumerate(peers):
        for number, loop in enumerate(loops):
            place = row + height * (number + 0.5 - len(loops) / 2)
            case = comparison.case(peer, loop, workload.name)
            if case is None or not case.rounds:
                why = " cannot" if case is not None and case.missing else " did not run"
                axes.text(0, place, why, va="center", fontsize=7, color="#666666")
                continue
            colour, alpha = _colour(comparison.rules(), peer), _FAINT if number else 1.0
            axes.barh(place, case.metric, height * 0.9, color=colour, alpha=alpha)
            axes.text(case.metric, place, f" {_short(case.metric)}", va="center", fontsize=7)
    axes.set_yticks(range(len(peers)), peers)
    axes.invert_yaxis()
    axes.set_xlim(0, most * 1.2)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(workload.title, loc="left", fontsize=10, fontweight="bold")


def _legend(axes: Axes, comparison: Comparison) -> None:
    axes.axis("off")
    patches = [Patch(color=_BASELINE, label=f"the baseline: {comparison.rules().title}")]
    patches += [Patch(color=_OURS, label="Enkaku")]
    patches += [Patch(color=_OTHERS, label="others")]
    patches += [
        Patch(color="#444444", alpha=_FAINT if number else 1.0, label=f"on {loop}")
        for number, loop in enumerate(comparison.loops())
    ]
    note = (
        f"per CPU second of the busier process;\nPython {comparison.python}, {comparison.machine}"
    )
    axes.legend(handles=patches, loc="center", frameon=False, title=note)


def _colour(suite: Suite, peer: str) -> str:
    if peer == suite.baseline:
        return _BASELINE
    return _OURS if peer in suite.ours else _OTHERS


def _short(rate: float) -> str:
    return (
        f"{rate / 1000:,.0f}k"
        if rate >= 10_000
        else f"{rate / 1000:,.1f}k" if rate >= 1000 else f"{rate:,.0f}"
    )
