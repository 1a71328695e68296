"""Reference model of the server, driven by the messages that it sends and receives."""

from .calls import SERVER_OPEN, CallModel, End, step_of
from .model_base import ModelBase
from .wire import Line

__all__ = ["ServerModel"]


class ServerModel(ModelBase):
    """Model of the server's side of a connection."""

    def step_server(self, call: CallModel, step: str, end: End | None = None) -> bool:
        after = step_of(call.server, step) if call.server != "ABSENT" else None
        if after is None:
            return False
        self.transitions["server"][call.server, after] += 1
        call.server = after
        if step == "FINISH":
            call.server_end = end
            call.server_burst = self.burst
        return True

    def server_got(self, line: Line, size: int) -> None:
        typ = line["typ"]
        if typ == "event":
            event = self.calls[line["data"]]
            event.arrived = True
            if self._is_busy("event"):
                self.reached["an event waited for a handler"] += 1
            if not self.stopping:  # else it may be dropped
                self.server_accepted(event)
            return
        call = self.by_rid(line["rid"])
        if call is None:
            return  # a ping is not a call
        if typ in ("request", "stream", "channel"):
            self._server_opened(call, line)
        elif typ == "send" and call.server in ("RUNNING", "STOPPING"):
            call.up.arrive(line, size)
        elif typ == "end":
            self.step_server(call, "HALF_CLOSE")
        elif typ == "credit":
            call.down.returned += line["n"]
        elif typ == "abort" and call.server in ("RUNNING", "HALF_CLOSED", "STOPPING"):
            if line.get("rsn") != "Close":
                call.must_cancel = True
                self.step_server(call, "FINISH", ("aborted", ""))
                call.freed = call.kind == "request" and not call.claimed
                return
            self.step_server(call, "CLOSE")
            until = self.now() + self.limits.close_timeout
            call.server_due = until if call.server_due is None else min(call.server_due, until)

    def _server_opened(self, call: CallModel, line: Line) -> None:
        if self.stopping:
            call.refusal = "EKP01"
        elif self.running("request", "stream", "channel") >= self.limits.calls:
            call.refusal = "EK03"
        if call.refusal:
            self.reached[f"refused by {call.refusal}"] += 1
            return
        if call.kind == "request" and self._is_busy("request"):
            self.reached["a request waited for a handler"] += 1
        call.claimed = self._claimed() < self.limits.handlers
        call.server = "RUNNING"
        bounds = [line["ttl"] / 1000] if "ttl" in line else []
        bounds += [self.limits.request_time] if call.kind == "request" else []
        call.server_due = self.now() + min(bounds) if bounds else None

    def _is_busy(self, kind: str) -> bool:
        handled = sum(call.kind == kind and call.begun and not call.finished for call in self.calls)
        return handled >= self.limits.handlers

    def _claimed(self) -> int:
        """Return how many requests have a handler."""
        return sum(
            call.kind == "request" and call.claimed and call.server in (*SERVER_OPEN, "ENDED")
            for call in self.calls
        )

    def _claim_next(self) -> None:
        """Give a free handler to the request that has waited longest."""
        for call in self.calls:
            waits = call.kind == "request" and not call.claimed and call.server in SERVER_OPEN
            if waits and self._claimed() < self.limits.handlers:
                call.claimed = True

    def server_accepted(self, event: CallModel) -> None:
        """Record that the server has accepted an event, whose handler may have to wait."""
        if event.server == "ABSENT":
            self.require(event.arrived, "an event began before it was sent", event)
            event.server = "RUNNING"
            event.server_due = self.now() + self.limits.request_time

    def server_wrote(self, line: Line, size: int) -> None:
        typ = line["typ"]
        if typ == "leaving":
            self.require(self.stopping or self.is_stop_wanted(), "it leaves without a reason")
            return
        if line["rid"] == "alive?" or (typ == "credit" and not line["rid"]):
            return  # the reply to a ping, or the first message
        call = self.by_rid(line["rid"])
        if call is None:
            self.fault(f"a {typ} for no call")
        elif typ == "credit":
            fits = call.server in SERVER_OPEN or call.server_burst == self.burst
            self.require(fits, "a credit after the end", call)
            if call.up.granted_first:
                call.up.granted += line["n"]
            call.up.granted_first = True
        elif call.refusal and call.server == "ABSENT":
            self.require(line.get("code") == call.refusal, f"not refused by {call.refusal}", call)
            call.server = "REFUSED"
        elif call.server not in SERVER_OPEN:
            self.fault(f"a {typ} while {call.server}", call)
        elif typ == "receive":
            self.record_sent(call, call.down, line, size)
        elif typ == "result":
            self.require(call.returned is not None, "a result before the handler's", call)
            self.require(line.get("val") == call.returned, "another result", call)
            self.step_server(call, "FINISH", ("result", ""))
        else:
            code = line["code"]
            self.require(self._may_fail(call, code), f"the error {code}", call)
            self.step_server(call, "FINISH", ("error", code))

    def _may_fail(self, call: CallModel, code: str) -> bool:
        if code == "EK05":
            call.must_cancel = True
            return call.server_due is not None and call.server_due <= self.now()
        if code == "EKP01":
            return self.stop_reported_from is not None and self.stop_reported_from <= self.now()
        return code == call.raised

    def may_cancel(self, call: CallModel) -> bool:
        """Return whether the server has a reason to cancel a handler."""
        late = call.server_due is not None and call.server_due <= self.now()
        stopped = self.stop_reported_from is not None and self.stop_reported_from <= self.now()
        if late and call.kind == "event" and not stopped:
            self.step_server(call, "FINISH", ("error", "EK05"))  # without a message on the wire
        return call.must_cancel or late or stopped

    def lose_server(self) -> None:
        """Record the loss of the connection at the server."""
        self.server_lost = True
        for call in self.calls:
            if call.server in SERVER_OPEN and call.kind != "event":
                call.must_cancel = True
                self.step_server(call, "FINISH", ("lost", ""))

    def close_all(self) -> None:
        """Record that the server stops, and closes every call."""
        self.stopping = True
        for call in self.calls:
            self.step_server(call, "STOP")

    def server_call_ended(self, call: CallModel, end: End) -> None:
        """Check the end of a call, of which an observer of the server was notified."""
        call.server_ended += 1
        self.require(call.server_ended == 1, "it ended twice at the server", call)
        self.require(call.finished or not call.begun, "it ended before its handler did", call)
        if call.kind == "event" and call.server in SERVER_OPEN:
            self.step_server(call, "FINISH", end)  # without a message on the wire
        if call.server_end != end:
            self.fault(f"the server says {end}, not {call.server_end}", call)
        self.require(self.step_server(call, "RELEASE"), f"released while {call.server}", call)
        self._claim_next()
        if not call.freed:  # that ends while the messages after its abort are still handled
            self.burst += 1
