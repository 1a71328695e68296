"""Suites of the comparison: which peers run which workloads, and which peer the others are compared with."""

from dataclasses import dataclass
from typing import Final

__all__ = ["SUITES", "Suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """Peers and workloads that are measured together.

    Attributes:
        title: What the bars of the baseline stand for in the plot.
        baseline: The peer that the others are compared with.
        ours: The peers that are Enkaku.
        peers: All peers, in the order of the tables.
        workloads: In the order of the tables.
    """

    title: str
    baseline: str
    ours: frozenset[str]
    peers: tuple[str, ...]
    workloads: tuple[str, ...]


_CALLS: Final = ("request", "flight", "stream", "streams", "channel", "large")

SUITES: Final = {
    "compare": Suite(
        title="asyncio alone",
        baseline="baseline",
        ours=frozenset({"enkaku"}),
        peers=(
            "baseline",
            "enkaku",
            "streams",
            "websockets",
            "grpc.aio",
            "connect-py",
            "socketio",
            "pyzmq",
        ),
        workloads=(*_CALLS, "connections"),
    ),
    "web": Suite(
        title="websockets, by hand",
        baseline="websockets-tcp",
        ours=frozenset({"enkaku-ws", "enkaku-http"}),
        peers=(
            "websockets-tcp",
            "websockets-uvicorn",
            "enkaku-ws",
            "socketio-uvicorn",
            "enkaku-http",
            "fastapi",
            "connect-uvicorn",
            "connect-py",
        ),
        workloads=(*_CALLS, "sessions"),
    ),
}
"""The suites by name: ``make bench`` and ``make bench-web``."""
