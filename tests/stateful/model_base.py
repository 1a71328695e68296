"""Base of the models of both sides: the calls, and the recorded faults.

A violated expectation is recorded as a fault.
"""

from collections import Counter
from collections.abc import Callable

from .calls import SERVER_OPEN, Bounds, CallModel, Way, item_of
from .wire import Line

__all__ = ["ModelBase"]


class ModelBase:
    """State that the models of both sides share.

    Args:
        now: Returns the time.
        limits: The limits and timeouts of the run.

    """

    def __init__(self, now: Callable[[], float], limits: Bounds) -> None:
        self.now = now
        self.limits = limits
        self.calls: list[CallModel] = []
        self.faults: list[str] = []
        self.reached: Counter[str] = Counter()
        self.transitions: dict[str, Counter[tuple[str, str]]] = {
            "client": Counter(),
            "server": Counter(),
        }
        self.burst = 0  # the number of the current delivery
        self.client_lost = False
        self.server_lost = False
        self.credits_known = False  # by the client
        self.stopping = False
        self.stop_reported_from: float | None = None  # from when on replies may report the stop
        self.is_stop_wanted: Callable[[], bool] = lambda: False
        self.is_server_ended: Callable[[], bool] = lambda: self.server_lost
        self.last_received = now()
        self.rids: dict[str, CallModel] = {}

    def fault(self, text: str, call: CallModel | None = None) -> None:
        self.faults.append(text if call is None else f"{call.kind} {call.number}: {text}")

    def require(self, right: bool, text: str, call: CallModel | None = None) -> None:
        if not right:
            self.fault(text, call)

    def by_rid(self, rid: str) -> CallModel | None:
        return self.rids.get(rid)

    def running(self, *kinds: str) -> int:
        """Return how many calls count towards a limit of the server."""
        return sum(
            call.kind in kinds and call.server in (*SERVER_OPEN, "ENDED") and not call.freed
            for call in self.calls
        )

    def record_sent(self, call: CallModel, way: Way, line: Line, size: int) -> None:
        self.require(way.may_send(size), f"{size} bytes beyond the credit: {way}", call)
        item = item_of(line)
        self.require(not way.written or way.written[-1] < item, "items out of order", call)
        way.written.append(item)
        way.size += size

    def record_credit(self, way: Way, size: int) -> None:
        if way.window is None:
            way.window = size
        else:
            way.returned += size
