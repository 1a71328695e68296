"""Reference model of the client, driven by the messages that it sends and receives."""

from .calls import CLIENT_OPEN, CallModel, End, step_of
from .model_base import ModelBase
from .wire import Line

__all__ = ["ClientModel"]


class ClientModel(ModelBase):
    """Model of the client's side of a connection."""

    def step_client(self, call: CallModel, step: str, end: End | None = None) -> bool:
        after = step_of(call.client, step)
        if after is None:
            return False
        if call.kind in ("stream", "channel") and step != "OPEN":  # which no table has
            self.transitions["client"][call.client, after] += 1
        call.client = after
        if step == "FINISH":
            call.client_end = end
            call.client_burst = self.burst
        return True

    def client_wrote(self, line: Line, size: int) -> None:
        typ = line["typ"]
        if line.get("rid") == "alive?":
            self.reached["pinged"] += 1
        elif typ in ("request", "stream", "channel"):
            self._client_opened(line)
        elif typ == "event":
            call = self.calls[line["data"]]
            call.client = "ENDED"
            self.require(not self.client_lost, "an event was sent after the loss", call)
        elif (found := self.by_rid(line["rid"])) is None:
            self.fault(f"a {typ} for no call")
        else:
            self._client_went_on(found, line, size)

    def _client_went_on(self, call: CallModel, line: Line, size: int) -> None:
        typ = line["typ"]
        if typ == "send":
            self.require(call.client == "OPEN", f"an item was sent while {call.client}", call)
            self.record_sent(call, call.up, line, size)
        elif typ == "end":
            if (
                call.must_end
            ):  # since the server leaves: the step was made when the client read that
                call.must_end = False
                return
            self.require(call.wants_end, "ended without being asked", call)
            self.require(self.step_client(call, "HALF_CLOSE"), f"end while {call.client}", call)
        elif typ == "credit":
            fits = call.client in CLIENT_OPEN or call.client_burst == self.burst
            self.require(fits, "a credit after the end", call)
            call.down.granted += line["n"]
        else:
            self._client_aborted(call, line.get("rsn"))

    def _client_opened(self, line: Line) -> None:
        call = self.calls[line["prm"]]
        self.require(not self.client_lost, "opened after the loss", call)
        self.require(("ttl" in line) == (call.due is not None), "the ttl is wrong", call)
        if call.due is not None:
            left = round(1000 * (call.due - self.now()))
            self.require(
                line["ttl"] == max(1, left), f"expected ttl {left}, got {line['ttl']}", call
            )
        call.rid = line["rid"]
        self.require(call.rid not in self.rids, "the rid was used before", call)
        self.rids[call.rid] = call
        self.require(self.step_client(call, "OPEN"), "opened twice", call)
        if call.kind != "request":
            call.down.window = line["win"]

    def _client_aborted(self, call: CallModel, reason: str | None) -> None:
        if reason == "Close":
            self.require(call.wants_close, "closed without being asked", call)
            self.require(self.step_client(call, "CLOSE"), f"closed while {call.client}", call)
            return
        self.require(call.client in ("OPEN", "HALF_CLOSED"), f"aborted while {call.client}", call)
        if reason == "Timeout":
            self.require(self._is_due(call), "timed out too early", call)
            self.step_client(call, "FINISH", ("error", "EK05"))
        else:
            self.require(call.wants_abort, "aborted without being asked", call)
            self.step_client(call, "FINISH", ("aborted", ""))

    def _is_due(self, call: CallModel) -> bool:
        return call.due is not None and call.due <= self.now()

    def client_got(self, line: Line, size: int) -> None:
        self.last_received = self.now()
        typ = line["typ"]
        if typ == "leaving":
            for call in self.calls:
                if call.kind == "channel" and self.step_client(call, "HALF_CLOSE"):
                    call.must_end = True
                    self.reached["half-closed since the server stops"] += 1
            return
        if typ == "credit":
            self.credits_known = True
        call = self.by_rid(line["rid"])
        if call is None or call.client not in CLIENT_OPEN:
            return  # it has ended here
        if typ == "credit":
            self.record_credit(call.up, line["n"])
        elif typ == "receive":
            call.down.arrive(line, size)
        elif typ == "result":
            call.value = line.get("val")
            self.step_client(call, "FINISH", ("result", ""))
        else:
            self.step_client(call, "FINISH", ("error", line["code"]))

    def lose_client(self) -> None:
        """Record the loss of the connection at the client."""
        self.client_lost = True
        for call in self.calls:
            if call.client in CLIENT_OPEN:
                self.step_client(call, "FINISH", ("lost", ""))

    def client_call_ended(self, call: CallModel, end: End) -> None:
        """Check the end of a call, of which an observer of the client was notified."""
        call.client_ended += 1
        self.require(call.client_ended == 1, "it ended twice at the client", call)
        if call.client in CLIENT_OPEN:  # without a message on the wire
            closing = call.client == "CLOSING"
            silent = self.now() - self.last_received >= 2 * self.limits.silence
            if end == ("lost", "") and silent:
                self.reached["lost by idle timeout"] += 1
                self.lose_client()
            elif (end == ("error", "EK05") and closing and self._is_due(call)) or (
                end == ("aborted", "") and closing and call.wants_abort
            ):
                self.step_client(call, "FINISH", end)
            else:
                self.fault(f"it ended at the client as {end}, while {call.client}", call)
        if call.kind != "event":
            self.require(
                call.client_end == end, f"the client says {end}, not {call.client_end}", call
            )
