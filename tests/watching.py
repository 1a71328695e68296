"""An observer that remembers what it was told."""

import enkaku


class Recorder(enkaku.Observer):
    """Remembers what it was told, as ``(what, name)`` pairs and in lists by kind."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.started: list[enkaku.Call] = []
        self.ended: list[enkaku.Call] = []
        self.opened: list[enkaku.ConnectionInfo] = []
        self.lost: list[str] = []
        self.invalid: list[str] = []
        self.overloads: list[str] = []
        self.dropped = 0
        self.progress: list[tuple[int, int]] = []

    def names(self, what: str) -> list[str]:
        """The names of the procedures, or reasons, that came with one kind of news."""
        return [name for kind, name in self.told if kind == what]

    def connection_opened(self, connection: enkaku.ConnectionInfo) -> None:
        self.told.append(("opened", connection.peer))
        self.opened.append(connection)

    def connection_lost(self, connection: enkaku.ConnectionInfo, reason: str) -> None:
        self.told.append(("lost", reason))
        self.lost.append(reason)

    def call_started(self, call: enkaku.Call) -> None:
        self.told.append(("started", call.procedure.name))
        self.started.append(call)

    def call_ended(self, call: enkaku.Call) -> None:
        self.told.append(("ended", call.procedure.name))
        self.ended.append(call)

    def invalid_message(self, connection: enkaku.ConnectionInfo, problem: str) -> None:
        self.told.append(("invalid", problem))
        self.invalid.append(problem)

    def overloaded(self, connection: enkaku.ConnectionInfo, procedure: str, problem: str) -> None:
        self.told.append(("overloaded", procedure))
        self.overloads.append(problem)

    def item_dropped(self, call: enkaku.Call, count: int) -> None:
        self.told.append(("dropped", call.procedure.name))
        self.dropped += count

    def handler_stuck(self, call: enkaku.Call) -> None:
        self.told.append(("stuck", call.procedure.name))

    def draining(self, connections: int, calls: int) -> None:
        self.told.append(("draining", f"{connections} {calls}"))
        self.progress.append((connections, calls))
