"""Every error of Enkaku, in one tree.

    EnkakuError
    ├── UsageError               this program asked for what the library does not allow
    │   ├── EncodeError          a value that the schema of its slot refuses
    │   ├── IncompatibleRuntime  the installed versions do not fit together
    │   ├── MissingExtra         generated code needs a part that is not installed
    │   └── NotActivated         no socket was passed to this process
    ├── CallClosed               the call takes no more items: it is closing, or has ended
    ├── CallError                the server ended the call with an error
    │   ├── DeadlineExceeded     the call took too long, here or at the server; also a TimeoutError
    │   └── DeclaredError        one that the protocol declares; base of the generated ones
    │       └── DeclaredDataError  one that carries data
    ├── HandlerError             for handlers to raise: an error that its caller shall see
    ├── PeerError                the peer sent what the protocol does not allow
    │   ├── InvalidMessage       a line that is not a message
    │   ├── MessageTooLarge      a line over the size limit
    │   ├── DecodeError          a value that the schema of its slot refuses
    │   ├── NotSupported         the peer does not know what was asked for
    │   └── InboxOverflow        more items than a call may buffer
    └── TransportError           the connection between the two
        ├── AddressInUse         a live server, or something else, has the address
        ├── ConnectFailed        nobody could be reached within the time
        └── ConnectionLost       the connection ended while it was needed

``CallError`` and what stands below it say that the *server* refused or failed; ``PeerError`` says that
the other side broke the protocol; ``UsageError`` says that this side's code is at fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

__all__ = [
    "AddressInUse",
    "CallClosed",
    "CallError",
    "ConnectFailed",
    "ConnectionLost",
    "DeadlineExceeded",
    "DecodeError",
    "EncodeError",
    "EnkakuError",
    "HandlerError",
    "InboxOverflow",
    "IncompatibleRuntime",
    "InvalidMessage",
    "MessageTooLarge",
    "MissingExtra",
    "NotActivated",
    "NotSupported",
    "PeerError",
    "Problem",
    "TransportError",
    "UsageError",
]

_POINTER_SHOWN: Final = 200  # characters; a member may have any name


class EnkakuError(Exception):
    """Base of every error that this library raises."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which a value does not fit its schema.

    Attributes:
        pointer: Where in the value, as a JSON pointer (RFC 6901); ``""`` is the whole value.
            A member that is missing has no place: the pointer is that of the object.
        expected: What the schema wants there, in words.
        found: What is there, in words: a short value as JSON, any other by its kind and size. ``""`` where
            there is nothing to tell.
    """

    pointer: str
    expected: str
    found: str = ""

    def __str__(self) -> str:
        text = f"{self.pointer[:_POINTER_SHOWN]}: " if self.pointer else ""
        text += f"expected {self.expected}" + (f", found {self.found}" if self.found else "")
        # A log takes no lone surrogates; and a peer's names must not begin lines of it, or colour them.
        return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


class UsageError(EnkakuError):
    """This program asked for something that the library does not allow."""


class _UnfitValue(EnkakuError):
    """What ``EncodeError`` and ``DecodeError`` have in common.

    Attributes:
        slot: The procedure and slot, such as ``"math/divide param"``.
        problems: What does not fit, the first ten at the most.
        more: How many problems there are beyond them.
    """

    _kept: ClassVar[int] = 10

    def __init__(self, slot: str, problems: tuple[Problem, ...], *, more: int = 0) -> None:
        super().__init__(slot, problems)
        self.slot = slot
        self.problems = problems[: self._kept]
        self.more = more + len(problems) - len(self.problems)

    def __str__(self) -> str:
        return f"{self.slot}: {self.reason}"

    @property
    def reason(self) -> str:
        """The problems as one line of text, without the slot."""
        text = "; ".join(str(problem) for problem in self.problems)
        return text + (f"; and {self.more} more" if self.more else "")


class EncodeError(_UnfitValue, UsageError):
    """A value that this program gave does not fit the schema of its slot; nothing was sent."""


class IncompatibleRuntime(UsageError, ImportError):
    """The installed versions do not fit together: generated code needs a newer ``enkaku``, or ``enkaku`` another pydantic.

    The text says what to install.
    """


class MissingExtra(UsageError, ImportError):
    """Generated code needs a part of ``enkaku`` that is not installed; the text says how to install it."""


class NotActivated(UsageError):
    """No socket was passed to this process: it was not started by socket activation."""


class CallClosed(EnkakuError):
    """The call takes no more items: it is closing, or it has ended."""


class CallError(EnkakuError):
    """The server ended the call with an error.

    Codes that begin with ``EK`` are Enkaku's own: ``EK01`` the handler failed, ``EK02`` access denied,
    ``EK03`` too many open calls, ``EK04`` too many running handlers, ``EK05`` the call took too long,
    ``EK06`` the message was too large, ``EK07`` encryption required, ``EK08`` invalid message,
    ``EK09`` replayed message, ``EKP01`` the server stops, ``EKP02`` too many unread items. Any other code is the handler's.

    Attributes:
        code: Names the error, for programs.
        message: Says what happened, for people.
        procedure: The procedure that was called, ``""`` where it is not known.
    """

    def __init__(
        self,
        code: str,
        message: str,
        data: Mapping[str, object] | None = None,
        *,
        procedure: str = "",
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.procedure = procedure
        self._data: object = {} if data is None else data

    def __str__(self) -> str:
        text = f"{self.message} ({self.code})"
        return f"{self.procedure}: {text}" if self.procedure else text

    @property
    def data(self) -> object:
        """What the server says beyond the message: a mapping, empty when it says nothing."""
        return self._data


class DeadlineExceeded(CallError, TimeoutError):
    """The call took too long: its deadline has passed, on this side, or on the server (``EK05``).

    It is a ``TimeoutError`` as well, as ``asyncio.timeout()`` raises it.
    """


class HandlerError(EnkakuError):
    """For handlers: ends the call with this error, for the caller to see.

    Whatever else escapes a handler reaches the caller as ``EK01`` without its text. Where the protocol
    declares errors, raise the generated classes instead: their data is typed.

    Args:
        code: Names the error, for programs; at most 128 characters.
        message: Says what happened, for people; at most 4,096 characters.
        data: JSON values by name, at most 64.
    """

    def __init__(self, code: str, message: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(code, message, data)  # what copy and pickle make it of
        self.code = code
        self.message = message
        self.data: Mapping[str, object] = {} if data is None else data

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class PeerError(EnkakuError):
    """The peer sent something that the protocol does not allow."""


class InvalidMessage(PeerError):
    """A line that is not JSON, or not a message.

    Attributes:
        rid: The call that the line names, or None.
        typ: The kind of message that the line claims to be, or None.
    """

    def __init__(self, reason: str, *, rid: str | None = None, typ: str | None = None) -> None:
        super().__init__(reason)
        self.rid = rid
        self.typ = typ


class MessageTooLarge(PeerError):
    """A line over the size limit; it was discarded as it came in."""


class DecodeError(_UnfitValue, PeerError):
    """A value that the peer sent does not fit the schema of its slot."""


class NotSupported(PeerError):
    """The peer does not know what was asked for: an extension of the protocol that is ours."""


class InboxOverflow(PeerError):
    """The peer sent more items than the call may buffer, while nobody took them."""


class TransportError(EnkakuError):
    """The connection could not be made, or did not last."""


class AddressInUse(TransportError):
    """A live server answers at the address, or something that is not a socket lies there."""


class ConnectFailed(TransportError):
    """Nobody could be reached at the address within the time."""


class ConnectionLost(TransportError):
    """The connection ended, on whichever side, while a call needed it."""
