"""The exceptions of Enkaku, in one tree.

    EnkakuError
    ├── UsageError               this program used the library in a wrong way
    │   ├── EncodeError          a value that the schema of its slot rejects
    │   ├── IncompatibleRuntime  the installed versions do not fit together
    │   ├── MissingExtra         generated code needs a part that is not installed
    │   └── NotActivated         no socket was passed to this process
    ├── CallClosed               the call accepts no more items: it is closing, or has ended
    ├── CallError                the server ended the call with an error
    │   ├── DeadlineExceeded     the call took too long, here or at the server; also a TimeoutError
    │   └── DeclaredError        an error that the protocol declares; base of the generated classes
    │       └── DeclaredDataError  an error that carries data
    ├── HandlerError             for handlers: an error that the caller receives
    ├── RejectConnection         for lifespans: the client is disconnected
    ├── AuthenticationFailed     for authenticators: a proof of who calls is not valid
    ├── PeerError                the peer sent what the protocol does not allow
    │   ├── InvalidMessage       bytes that are not a message
    │   ├── MessageTooLarge      a message over the size limit
    │   ├── DecodeError          a value that the schema of its slot rejects
    │   ├── NotSupported         the peer does not support an extension of the protocol
    │   └── InboxOverflow        more items than a call may buffer
    └── TransportError           the connection failed
        ├── AddressInUse         a live server, or another file, has the address
        ├── ConnectFailed        no server accepted the connection within the timeout
        └── ConnectionLost       the connection ended during a call

``CallError`` and its subclasses mean that the *server* rejected the call or failed. ``PeerError`` means that the
peer violated the protocol. ``UsageError`` means that the code of this side is wrong.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, cast

__all__ = [
    "AddressInUse",
    "AuthenticationFailed",
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
    "RejectConnection",
    "Rejected",
    "TransportError",
    "UsageError",
]

_POINTER_SHOWN: Final = 200  # characters; the name of a property may be longer
_NUMBERS: Final = frozenset("-0123456789")  # with what a JSON number begins


class EnkakuError(Exception):
    """Base of every error that this library raises."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One way in which a value does not fit its schema.

    Attributes:
        pointer: The location in the value, as a JSON pointer (RFC 6901); ``""`` is the whole value.
            For a missing property, it is the pointer of the object.
        expected: What the schema accepts there, for people.
        found: The value there, for people: a short value as JSON, any other by its type and size. ``""`` if
            there is nothing to add.
    """

    pointer: str
    expected: str
    found: str = ""

    def __str__(self) -> str:
        text = f"{self.pointer[:_POINTER_SHOWN]}: " if self.pointer else ""
        text += f"expected {self.expected}" + (f", got {self.found}" if self.found else "")
        return escaped(text)


def escaped(text: str) -> str:
    """Return a text of a peer for a log or a terminal: it begins no line there, changes no colour, and can be encoded."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _without_value(problem: Problem) -> Problem:
    found = problem.found
    if found.startswith('"'):
        return replace(problem, found="string")
    if found in {"true", "false"}:
        return replace(problem, found="boolean")
    if (found[:1] in _NUMBERS and " " not in found) or found in {"NaN", "Infinity"}:
        return replace(problem, found="number")
    return problem


def hide_values(error: BaseException) -> None:
    """Describe values by their types in the text of an exception, and of those that it came from: it will be logged."""
    rest: list[BaseException | None] = [error]
    seen: set[int] = set()
    while rest:
        each = rest.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        rest += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            rest += cast("BaseExceptionGroup[BaseException]", each).exceptions
        if isinstance(each, EncodeError | DecodeError):
            each.hides_values = True


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


class UsageError(EnkakuError):
    """This program used the library in a wrong way."""


class _UnfitValue(EnkakuError):
    """Base of ``EncodeError`` and ``DecodeError``.

    Attributes:
        slot: The procedure and slot, such as ``"math/divide param"``.
        problems: The problems, at most the first ten.
        more: The number of further problems.
    """

    _kept: ClassVar[int] = 10

    hides_values: bool = False
    """Whether ``str()`` describes values by their types, since this error is logged."""

    def __init__(self, slot: str, problems: tuple[Problem, ...], *, more: int = 0) -> None:
        super().__init__(slot, problems)
        self.slot = slot
        self.problems = problems[: self._kept]
        self.more = more + len(problems) - len(self.problems)

    def __str__(self) -> str:
        return f"{self.slot}: {self.brief if self.hides_values else self.reason}"

    @property
    def reason(self) -> str:
        """The problems in one line, without the slot."""
        return self._join(self.problems)

    @property
    def brief(self) -> str:
        """The same for a log: values are described by their types."""
        return self._join(map(_without_value, self.problems))

    def _join(self, problems: Iterable[Problem]) -> str:
        text = "; ".join(str(problem) for problem in problems)
        return text + (f"; and {self.more} more" if self.more else "")


class EncodeError(_UnfitValue, UsageError):
    """A value that this program gave does not fit the schema of its slot; nothing was sent."""


class IncompatibleRuntime(UsageError, ImportError):
    """The installed versions do not fit together: generated code needs a newer ``enkaku``, or ``enkaku`` another pydantic.

    The message says what to install.
    """


class MissingExtra(UsageError, ImportError):
    """Generated code needs a part of ``enkaku`` that is not installed; the message says how to install it."""


class NotActivated(UsageError):
    """No socket was passed to this process: it was not started by socket activation."""


class CallClosed(EnkakuError):
    """The call accepts no more items: it is closing, or it has ended."""


def _without_constructor(error: type[BaseException], *arguments: object) -> BaseException:
    """Make a copy of an exception, as ``copy`` and ``pickle`` do, which then set its attributes."""
    made = error.__new__(error, *arguments)
    made.args = arguments  # OSError leaves them to its constructor
    return made


class CallError(EnkakuError):
    """The server ended the call with an error.

    Codes that begin with ``EK`` are Enkaku's own: ``EK01`` the handler failed, ``EK02`` access denied,
    ``EK03`` too many open calls, ``EK04`` too many running handlers, ``EK05`` the call took too long,
    ``EK06`` the message was too large, ``EK07`` encryption required, ``EK08`` invalid message,
    ``EK09`` replayed message, ``EKP01`` the server stops, ``EKP02`` too many unread items, ``EKP03`` too many calls
    in a short time (``data`` has ``retry_after``, in seconds). Any other code is the handler's.

    Attributes:
        code: Identifies the error, for programs.
        message: Describes the error, for people; as the server sent it, while ``str()`` escapes control characters.
        procedure: The procedure that was called, or ``""`` if it is unknown.
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

    def __reduce__(
        self,
    ) -> tuple[Callable[..., BaseException], tuple[object, ...], dict[str, object]]:
        # Without the constructor: those of subclasses take other arguments, such as no code.
        return _without_constructor, (type(self), *self.args), self.__dict__

    def __str__(self) -> str:
        text = escaped(f"{self.message} ({self.code})")
        return f"{self.procedure}: {text}" if self.procedure else text

    @property
    def data(self) -> object:
        """The data that the server sent with the message: a mapping, which may be empty."""
        return self._data


class DeadlineExceeded(CallError, TimeoutError):
    """The call took too long: its deadline has passed, on this side or on the server (``EK05``).

    It is a ``TimeoutError`` as well, as ``asyncio.timeout()`` raises it.
    """


class HandlerError(EnkakuError):
    """For handlers: ends the call with this error, which the caller receives.

    For any other exception of a handler, the caller receives ``EK01`` without the text. If the protocol
    declares errors, raise the generated classes instead: their data is typed.

    Args:
        code: Identifies the error, for programs; at most 128 characters.
        message: Describes the error, for people; at most 4,096 characters.
        data: JSON values by name, at most 64.
    """

    def __init__(self, code: str, message: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(code, message, data)  # the arguments with which copy and pickle call it
        self.code = code
        self.message = message
        self.data: Mapping[str, object] = {} if data is None else data

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class RejectConnection(EnkakuError):
    """For lifespans: ends the connection, with one log line at info level instead of an error with a traceback.

    The client's calls raise ``ConnectionLost``. The client does not receive the reason.

    Args:
        reason: Why, for the server's log and its observers.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class AuthenticationFailed(EnkakuError):
    """For authenticators: a proof is not valid, so the call is rejected, whatever else proves who calls.

    Args:
        reason: What is wrong, for the server's log and its observers.
        public: What the caller receives with ``EK02``; nothing secret.
    """

    def __init__(self, reason: str, public: str = "Access denied") -> None:
        super().__init__(reason, public)
        self.reason = reason
        self.public = public

    def __str__(self) -> str:
        return self.reason


class PeerError(EnkakuError):
    """The peer violated the protocol."""


class Rejected(PeerError):
    """A message, or a token in it, that its receiver does not accept: what the ``error`` message to its sender says.

    It never reaches a program: the server sends it, and a command prints it.

    Attributes:
        code: See ``ErrorCode``.
        message: For people, and for the peer: it shows nothing of this side.
        data: JSON values by name.
    """

    def __init__(self, code: str, message: str, data: Mapping[str, object] | None = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data: Mapping[str, object] = {} if data is None else data

    def __str__(self) -> str:
        return escaped(f"{self.message} ({self.code})")


class InvalidMessage(PeerError):
    """The bytes are not JSON, or not a message.

    Attributes:
        rid: The id of the call that the message is for, or None.
        typ: The type that the message has, or None.
    """

    def __init__(self, reason: str, *, rid: str | None = None, typ: str | None = None) -> None:
        super().__init__(reason)
        self.rid = rid
        self.typ = typ


class MessageTooLarge(PeerError):
    """A message over the size limit; its bytes were discarded as they were received."""


class DecodeError(_UnfitValue, PeerError):
    """A value that the peer sent does not fit the schema of its slot."""


class NotSupported(PeerError):
    """The peer does not support an extension of the protocol, which only this library has."""


class InboxOverflow(PeerError):
    """The peer sent more items than the call may buffer, and the program did not read them."""


class TransportError(EnkakuError):
    """The connection could not be opened, or was lost."""


class AddressInUse(TransportError):
    """A live server uses the address, or a file that is not a socket has it."""


class ConnectFailed(TransportError):
    """No server accepted a connection at the address within the timeout."""


class ConnectionLost(TransportError):
    """The connection ended, on either side, while a call needed it."""


class NotSent(ConnectionLost):
    """The connection ended before anything of the call was sent. With ``reconnect``, the next one sends it."""
