"""Plot of the scaling benchmark: four panels, as PNG and SVG."""

# pyright: reportUnknownMemberType=false
# The types of matplotlib have gaps.

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["draw"]

Curve = Sequence[tuple[int, float, float]]
_TITLES: Final = {
    "procedures": "procedures served, 64 calls in flight",
    "calls": "calls in flight on one connection",
    "connections": "connections, a call in flight on each",
    "sizes": "bytes of an item of a stream",
}
_SERVER: Final = "#c2410c"
_CLIENT: Final = "#3b6ea5"


def draw(curves: Mapping[str, Curve], stem: Path) -> None:
    """Write ``<stem>.png`` and ``<stem>.svg``: for each curve its points as (x, server, client), in microseconds."""
    # A fixed salt, so that the same results give the same file.
    with mpl.rc_context({"svg.hashsalt": "enkaku", "font.size": 9}):
        figure = Figure(figsize=(10, 7), layout="constrained")
        for place, (name, title) in enumerate(_TITLES.items(), start=1):
            axes = figure.add_subplot(2, 2, place)
            if name == "sizes":
                _panel(axes, [(x, s / x * 1000, c / x * 1000) for x, s, c in curves[name]])
                axes.set_yscale("log")
                axes.set_ylabel("ns of CPU a byte")
            else:
                _panel(axes, curves[name])
                axes.set_ylim(bottom=0)
                axes.set_ylabel("µs of CPU a request")
            axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        figure.savefig(stem.with_suffix(".png"), dpi=110, facecolor="white")
        figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})


def _panel(axes: Axes, points: Curve) -> None:
    places = [x for x, _, _ in points]
    axes.plot(places, [server for _, server, _ in points], "o-", color=_SERVER, label="server")
    axes.plot(places, [client for _, _, client in points], "s-", color=_CLIENT, label="client")
    axes.set_xscale("log")
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
