"""Enkaku: typed requests, streams, channels and events between processes.

The names that generated code and programs use; what is not in ``__all__`` is private.
"""

import typing as _typing

from .absent import ABSENT, Absent
from .call import ServerCall, current_call
from .channels import ClientChannel
from .checked import Checked
from .client import Connection
from .deadline import deadline
from .declared import DeclaredDataError, DeclaredError
from .errors import (
    AddressInUse,
    CallClosed,
    CallError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    DecodeError,
    EncodeError,
    EnkakuError,
    HandlerError,
    InboxOverflow,
    IncompatibleRuntime,
    InvalidMessage,
    MessageTooLarge,
    MissingExtra,
    NotActivated,
    NotSupported,
    PeerError,
    Problem,
    TransportError,
    UsageError,
)
from .facts import Call, ConnectionInfo, Outcome, State, StateKey
from .full import WhenFull
from .handler import Handler, Route
from .lifecycle import ConnectionState
from .limits import Limits
from .loops import run
from .model import Model
from .observer import Interceptor, Lifespan, Observer
from .options import CallOptions, ConnectionOptions, ServerOptions, StreamOptions
from .procedures import Channel, Event, Procedure, Request, Stream
from .reconnect import Reconnect
from .server_streams import ServerChannel, ServerStream
from .slots import Slot
from .streams import ClientStream
from .transport import PeerCredentials
from .version import VERSION, require_runtime

if _typing.TYPE_CHECKING:
    from .activation import PassedSocket, systemd_sockets
    from .broadcast import Broadcast
    from .reopen import Gap, Reopening, reopening
    from .server import Server
    from .sockets import (
        connect_socket,
        connect_tcp,
        connect_unix,
        serve_socket,
        serve_tcp,
        serve_unix,
    )
    from .testing import connect_memory
else:
    # What generated code does without is loaded when somebody asks for it: sockets, a server, what tests use.
    from .later import load_later as _load_later

    __getattr__ = _load_later(
        __name__,
        activation=("PassedSocket", "systemd_sockets"),
        broadcast=("Broadcast",),
        reopen=("Gap", "Reopening", "reopening"),
        server=("Server",),
        sockets=(
            "connect_socket",
            "connect_tcp",
            "connect_unix",
            "serve_socket",
            "serve_tcp",
            "serve_unix",
        ),
        testing=("connect_memory",),
    )

__version__ = VERSION

__all__ = [
    "ABSENT",
    "VERSION",
    "Absent",
    "AddressInUse",
    "Broadcast",
    "Call",
    "CallClosed",
    "CallError",
    "CallOptions",
    "Channel",
    "Checked",
    "ClientChannel",
    "ClientStream",
    "ConnectFailed",
    "Connection",
    "ConnectionInfo",
    "ConnectionLost",
    "ConnectionOptions",
    "ConnectionState",
    "DeadlineExceeded",
    "DeclaredDataError",
    "DeclaredError",
    "DecodeError",
    "EncodeError",
    "EnkakuError",
    "Event",
    "Gap",
    "Handler",
    "HandlerError",
    "InboxOverflow",
    "IncompatibleRuntime",
    "Interceptor",
    "InvalidMessage",
    "Lifespan",
    "Limits",
    "MessageTooLarge",
    "MissingExtra",
    "Model",
    "NotActivated",
    "NotSupported",
    "Observer",
    "Outcome",
    "PassedSocket",
    "PeerCredentials",
    "PeerError",
    "Problem",
    "Procedure",
    "Reconnect",
    "Reopening",
    "Request",
    "Route",
    "Server",
    "ServerCall",
    "ServerChannel",
    "ServerOptions",
    "ServerStream",
    "Slot",
    "State",
    "StateKey",
    "Stream",
    "StreamOptions",
    "TransportError",
    "UsageError",
    "WhenFull",
    "connect_memory",
    "connect_socket",
    "connect_tcp",
    "connect_unix",
    "current_call",
    "deadline",
    "reopening",
    "require_runtime",
    "run",
    "serve_socket",
    "serve_tcp",
    "serve_unix",
    "systemd_sockets",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
