"""Expected differences between Enkaku's messages and the recorded ones, with the reason.

Every entry quotes the rule of WIRE.md, the description of the wire, that causes the difference. A test fails if an
entry's difference disappears or changes.
"""

from dataclasses import dataclass
from typing import Any, Final

from wire.transcript import Line, message

_NOTHING: Final = object()


class Mark:
    """A step of a replay that is not a line."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


SENT: Final = Mark("the next recorded packet is sent")
STOPPED: Final = Mark("the server stops")
KILLED: Final = Mark("the server drops its connections")


@dataclass(frozen=True, slots=True)
class ServerDifference:
    """An expected difference of Enkaku's server.

    Attributes:
        rule: The reason, quoted from WIRE.md.
        steps: The recorded packets, and the server's messages between them.
    """

    rule: str
    steps: tuple[Line | Mark, ...]


SAME: Final[Any] = Mark("as recorded")


@dataclass(frozen=True, slots=True)
class ClientDifference:
    """An expected difference of Enkaku's client.

    Attributes:
        rule: The reason, quoted from WIRE.md.
        lines: The messages instead of the recorded ones.
        seen: The user's observations.
    """

    rule: str
    lines: Any = SAME
    seen: Any = SAME


def opened(typ: str, rid: str, prc: str, prm: Any = _NOTHING) -> Line:
    """Return the message that opens a call."""
    payload = {"typ": typ, "rid": rid, "prc": prc}
    return message("c2s", payload if prm is _NOTHING else {**payload, "prm": prm})


def sent(rid: str, prc: str, val: Any) -> Line:
    """Return the message of an item for the server."""
    return message("c2s", {"typ": "send", "prc": prc, "rid": rid, "val": val})


def aborted(rid: str, rsn: str | None = None) -> Line:
    """Return the message by which the client closes or aborts a call."""
    payload = {"typ": "abort", "rid": rid}
    return message("c2s", payload if rsn is None else {**payload, "rsn": rsn})


def received(rid: str, val: Any) -> Line:
    """Return the message of an item for the client."""
    return message("s2c", {"typ": "receive", "rid": rid, "val": val})


def result(rid: str, val: Any = _NOTHING) -> Line:
    """Return the message of a result."""
    payload = {"typ": "result", "rid": rid}
    return message("s2c", payload if val is _NOTHING else {**payload, "val": val})


def error(rid: str, code: str, msg: str) -> Line:
    """Return the message of an error."""
    return message("s2c", {"typ": "error", "rid": rid, "code": code, "data": {}, "msg": msg})


def _invalid(rid: str) -> Line:
    return error(rid, "EK08", "Invalid protocol message")


_PROBED: Final = result("probe", {"probe": True})

_RID_IN_USE: Final = (
    "A `rid` already in use on the connection is refused with `EK08` and the running call is untouched (the "
    "original mixes the two calls up and leaks a slot for ever)."
)
_BY_LINE: Final = (
    "We read strictly by line (the original counts brackets, so one truncated line silently swallows all that "
    "follows (R); a pretty-printed message over several lines works there and not here)."
)
_UNKNOWN_PROCEDURE: Final = (
    'unknown procedure, wrong kind, bad `prm` | `EK08` "Invalid protocol message" (R)'
)

SERVER_DIFFERENCES: Final[dict[str, ServerDifference]] = {
    "same-rid-twice": ServerDifference(
        _RID_IN_USE,
        (
            SENT,
            SENT,
            _invalid("dup"),
            result("dup", {"success": True, "message": "Service one restarted successfully"}),
        ),
    ),
    "framing-max-buffer": ServerDifference(
        "A line over the size limit is discarded while it streams in (memory stays bounded); it is answered with "
        "`EK06` where its `rid` could be read, else reported.",
        (SENT, error("r1", "EK06", "Message exceeds maximum size"), SENT, result("r2", {})),
    ),
    "server-dispose": ServerDifference(
        "handlers asked to finish, then cancelled, bounded; every open call is answered; then the socket closes "
        "(the original answers nothing)",
        (
            SENT,
            SENT,
            SENT,
            received("s1", {"tick": 1}),
            received("s1", {"tick": 2}),
            STOPPED,
            result("s1", {"ticks": 2}),
            result("r1", {"aborted": True}),
            result("c1", {"received": 0}),
        ),
    ),
    "novalidate-unknown-procedure": ServerDifference(
        _UNKNOWN_PROCEDURE,
        (SENT, _invalid("r1"), SENT, _invalid("s1"), SENT, result("r2", {"alive": 1})),
    ),
    "raw-literal-newline-in-string": ServerDifference(_BY_LINE, (SENT, SENT, _PROBED)),
    "raw-malformed-close-brace": ServerDifference(_BY_LINE, (SENT, SENT, _PROBED)),
    "raw-notmsg-number-novalidate": ServerDifference(
        "A line that is not JSON, or not a message, never ends the connection and never reaches a handler",
        (SENT, SENT, _PROBED),
    ),
    "raw-prc-proto": ServerDifference(
        _UNKNOWN_PROCEDURE, (SENT, _invalid("r1"), _invalid("r2"), _invalid("r3"), SENT, _PROBED)
    ),
    "raw-send-no-prc": ServerDifference(
        "early releases omit `prc`: accept that",
        (SENT, SENT, received("c1", {"a": 1}), SENT, _PROBED),
    ),
    "raw-send-to-request": ServerDifference(
        "One line kills its process: a `send` for the `rid` of a running request or stream",
        (SENT, SENT, SENT, _PROBED),
    ),
    "raw-abort-in-same-packet-stream": ServerDifference(
        "client aborts | `abort` with another reason, or none | cancelled; nothing more is sent (R)",
        (SENT, SENT, _PROBED),
    ),
    "raw-dup-rid": ServerDifference(
        _RID_IN_USE,
        (SENT, SENT, _invalid("d"), SENT, result("d", {"aborted": True}), SENT, _PROBED),
    ),
    "raw-dup-rid-aborted-first": ServerDifference(
        _RID_IN_USE,
        (SENT, SENT, _invalid("d"), SENT, result("d", {"aborted": True}), SENT, _PROBED),
    ),
}


_REFUSED_CHANNEL: Final = (
    "a bad `send` | `EK08` for the channel's `rid` (R) | goes on (R) | the call ends in that error"
)
_ONE_MESSAGE: Final = "UTF-8 JSON, one message a line, `\\n` ends it"
_ENVELOPE: Final = '{"header":{"typ":"JWT","alg":"none"},"payload":{"typ":"...", ...}}'
_GETS_RESULT: Final = (
    "gets the result (the TypeScript client of 2026 throws it away; the wire is the same)"
)
_ABORTED: Final = (
    "client aborts | `abort` with another reason, or none | cancelled; nothing more is sent (R) | cancelled"
)
_REASON: Final = "`rsn` is a string of at most 1,024"
_LOST: Final = "connection lost | | cancelled | `ConnectionLost` in every open call"
_NEVER_REPEAT: Final = "ours never repeat"

_PROBE: Final = (opened("request", "probe", "echo", {"probe": True}), _PROBED)
_RESTARTED: Final = {"success": True, "message": "Service x restarted successfully"}
_SLOW: Final = opened("request", "r1", "slow")
_CANCELLED: Final = aborted("r1", "Cancelled")
_LOST_CALL: Final = {"rejected": "ConnectionLost"}
_CLOSED_CALL: Final = {"rejected": "CallClosed"}
_ECHOED: Final = (opened("request", "r1", "echo", {"a": 1}), result("r1", {"a": 1}), *_PROBE)


def _resolved(val: Any) -> Any:
    return {"resolved": val}


CLIENT_DIFFERENCES: Final[dict[str, ClientDifference]] = {
    "request-falsy-params": ClientDifference(
        "`prm` is absent when the procedure has no `param`, and present otherwise",
        (
            opened("request", "r0", "any/echo", 0),
            result("r0", 0),
            opened("request", "r1", "any/echo", ""),
            result("r1", ""),
            opened("request", "r2", "any/echo", False),
            result("r2", False),
            opened("request", "r3", "any/echo", None),
            result("r3", None),
        ),
        {
            "zero": _resolved(0),
            "empty": _resolved(""),
            "false": _resolved(False),
            "null": _resolved(None),
        },
    ),
    "metrics": ClientDifference(
        _GETS_RESULT, seen={"items": 2, "result": _resolved({"totalSamples": 2})}
    ),
    "stream-abort": ClientDifference(
        _ABORTED,
        seen={
            "result": _CLOSED_CALL,
            "probe": _resolved({"aborts": [{"procedure": "metrics/stream", "reason": "Close"}]}),
        },
    ),
    "stream-close": ClientDifference(
        _GETS_RESULT, seen={"result": _resolved({"ticks": 2}), "rest": []}
    ),
    "stream-abort-close-string": ClientDifference(
        _GETS_RESULT, seen={"result": _resolved({"ticks": 2})}
    ),
    "stream-abort-object": ClientDifference(
        _REASON,
        (
            opened("stream", "s1", "ticker", {"interval": 20}),
            received("s1", {"tick": 1}),
            received("s1", {"tick": 2}),
            aborted("s1", "some object"),
        ),
        {"result": _CLOSED_CALL},
    ),
    "request-signal-timeout": ClientDifference(
        _REASON, (_SLOW, _CANCELLED), {"rejected": "TimeoutError"}
    ),
    "request-abort": ClientDifference(_REASON, (_SLOW, _CANCELLED), {"rejected": "CancelledError"}),
    "request-abort-close": ClientDifference(
        _ABORTED, (_SLOW, _CANCELLED), {"rejected": "CancelledError"}
    ),
    "channel-abort": ClientDifference(_ABORTED, seen={"result": _CLOSED_CALL}),
    "channel-send-after-close": ClientDifference(
        'client closes | `abort` `rsn: "Close"` | told to finish',
        (
            opened("channel", "c1", "logs/watch", {"level": "error"}),
            received(
                "c1",
                {
                    "level": "error",
                    "message": "ERROR: Sample log message",
                    "timestamp": 1795394064328,
                },
            ),
            aborted("c1", "Close"),
            opened("request", "r1", "echo", {}),
            result("c1", {"totalLogs": 1}),
            result("r1", {}),
        ),
        {"result": _resolved({"totalLogs": 1}), "alive": _resolved({})},
    ),
    "channel-writable-close": ClientDifference(
        _GETS_RESULT, seen={"result": _resolved({"received": 1})}
    ),
    "channel-invalid-send": ClientDifference(
        _REFUSED_CHANNEL,
        (
            opened("channel", "c1", "chat", {}),
            sent("c1", "chat", "nope"),
            _invalid("c1"),
            aborted("c1"),
        ),
    ),
    "same-rid-twice": ClientDifference(
        _NEVER_REPEAT,
        (
            opened("request", "dup", "system/restart", {"service": "one"}),
            opened("request", "dup2", "echo", {"two": 2}),
            result("dup2", {"two": 2}),
            result("dup", {**_RESTARTED, "message": "Service one restarted successfully"}),
        ),
        {
            "a": _resolved({**_RESTARTED, "message": "Service one restarted successfully"}),
            "b": _resolved({"two": 2}),
        },
    ),
    "framing-max-buffer": ClientDifference(_LOST, seen={"big": _LOST_CALL, "after": _LOST_CALL}),
    "server-dispose": ClientDifference(
        _LOST,
        seen={
            "stream": _LOST_CALL,
            "request": _LOST_CALL,
            "channel": _LOST_CALL,
            "newRequest": _LOST_CALL,
        },
    ),
    "server-killed": ClientDifference(
        _LOST, seen={"request": _LOST_CALL, "stream": _LOST_CALL, "newRequest": _LOST_CALL}
    ),
    "client-dispose": ClientDifference(
        _LOST, seen={"stream": _LOST_CALL, "channel": _LOST_CALL, "request": _LOST_CALL}
    ),
    "novalidate-unknown-procedure": ClientDifference(
        _LOST,
        seen={"request": _LOST_CALL, "stream": _LOST_CALL, "alive": _resolved({"alive": 1})},
    ),
    # A raw socket sent the following, which a client cannot send.
    "raw-whitespace": ClientDifference(
        "Write compact JSON",
        (
            opened("request", "r1", "echo", {"a b": " c  d "}),
            result("r1", {"a b": " c  d "}),
            *_PROBE,
        ),
    ),
    "raw-literal-newline-in-string": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-literal-tab-in-string": ClientDifference(
        _ONE_MESSAGE,
        (opened("request", "r1", "echo", {"a": "x\ty"}), result("r1", {"a": "x\ty"}), *_PROBE),
    ),
    "raw-bom": ClientDifference(_ONE_MESSAGE, _ECHOED),
    "raw-duplicate-keys": ClientDifference(
        _ONE_MESSAGE,
        (opened("request", "r1", "echo", {"a": 2}), result("r1", {"a": 2}), *_PROBE),
    ),
    "raw-malformed-close-brace": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-malformed-recover": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-malformed-nan": ClientDifference("never `NaN` or `Infinity`", _PROBE),
    "raw-http-request": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-notmsg-number": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-notmsg-number-novalidate": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-notmsg-null": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-notmsg-array": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-notmsg-payload-empty": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-notmsg-header-empty": ClientDifference(_ENVELOPE, _ECHOED),
    "raw-notmsg-alg-hs256": ClientDifference(_ENVELOPE, _ECHOED),
    "raw-notmsg-header-typ-wrong": ClientDifference(_ENVELOPE, _ECHOED),
    "raw-envelope-extra": ClientDifference(_ENVELOPE, _ECHOED),
    "raw-payload-jti": ClientDifference(
        "Any payload may carry `jti`",
        (opened("request", "r1", "echo", {}), result("r1", {}), *_PROBE),
    ),
    "raw-rid-number": ClientDifference(
        "`rid`, `jti`, `code`: at most 128 characters",
        (opened("request", "5", "echo", {"a": 1}), result("5", {"a": 1}), *_PROBE),
    ),
    "raw-typ-unknown": ClientDifference(_ONE_MESSAGE, _PROBE),
    "raw-send-no-prc": ClientDifference(
        _REFUSED_CHANNEL,
        (
            opened("channel", "c1", "chat", {}),
            sent("c1", "chat", {"a": 1}),
            _invalid("c1"),
            aborted("c1"),
            *_PROBE,
        ),
    ),
    "raw-send-wrong-prc": ClientDifference(
        "| `send` | client | `typ, prc, rid, val` | an item into a channel",
        (
            opened("channel", "c1", "chat", {}),
            sent("c1", "chat", {"level": "info"}),
            received("c1", {"level": "info"}),
            *_PROBE,
        ),
    ),
    "raw-send-to-request": ClientDifference(
        "| `send` | client | `typ, prc, rid, val` | an item into a channel", (_SLOW, *_PROBE)
    ),
    "raw-abort-no-rsn": ClientDifference(_REASON, (_SLOW, _CANCELLED, *_PROBE)),
    "raw-abort-rsn-null": ClientDifference(_REASON, (_SLOW, _CANCELLED, *_PROBE)),
    "raw-abort-rsn-long": ClientDifference(_REASON, (_SLOW, _CANCELLED, *_PROBE)),
    "raw-abort-twice": ClientDifference("The first abort wins.", (_SLOW, _CANCELLED, *_PROBE)),
    "raw-abort-channel-twice": ClientDifference(
        "The first abort wins.",
        (
            opened("channel", "c1", "logs/watch", {"level": "error"}),
            aborted("c1", "a"),
            *_PROBE,
        ),
    ),
    "raw-dup-rid": ClientDifference(
        _NEVER_REPEAT,
        (
            opened("request", "d", "slow"),
            opened("request", "d2", "system/restart", {"service": "x"}),
            result("d2", _RESTARTED),
            aborted("d", "Cancelled"),
            *_PROBE,
        ),
    ),
    "raw-dup-rid-aborted-first": ClientDifference(
        _NEVER_REPEAT,
        (
            opened("request", "d", "slow"),
            opened("request", "d2", "echo", {}),
            result("d2", {}),
            aborted("d", "Cancelled"),
            *_PROBE,
        ),
    ),
}
