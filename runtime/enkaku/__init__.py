"""Enkaku: typed requests, streams, channels and events between processes.

The names that generated code and programs use; what is not in ``__all__`` is private.
"""

from .absent import ABSENT, Absent
from .call import ServerCall, ServerChannel, ServerStream, current_call
from .checked import Checked
from .client import ClientChannel, ClientStream, Connection
from .declared import DeclaredDataError, DeclaredError
from .errors import (
    AddressInUse,
    CallClosed,
    CallError,
    ConnectFailed,
    ConnectionLost,
    DecodeError,
    EncodeError,
    EnkakuError,
    HandlerError,
    InboxOverflow,
    IncompatibleRuntime,
    InvalidMessage,
    MessageTooLarge,
    MissingExtra,
    PeerError,
    Problem,
    TransportError,
    UsageError,
)
from .handler import Handler, Route
from .limits import Limits
from .model import Model
from .procedures import Channel, Event, Procedure, Request, Stream
from .server import Server
from .slots import Slot
from .sockets import connect_tcp, connect_unix, serve_tcp, serve_unix
from .testing import connect_memory
from .version import VERSION, require_runtime

__version__ = VERSION

__all__ = [
    "ABSENT",
    "VERSION",
    "Absent",
    "AddressInUse",
    "CallClosed",
    "CallError",
    "Channel",
    "Checked",
    "ClientChannel",
    "ClientStream",
    "ConnectFailed",
    "Connection",
    "ConnectionLost",
    "DeclaredDataError",
    "DeclaredError",
    "DecodeError",
    "EncodeError",
    "EnkakuError",
    "Event",
    "Handler",
    "HandlerError",
    "InboxOverflow",
    "IncompatibleRuntime",
    "InvalidMessage",
    "Limits",
    "MessageTooLarge",
    "MissingExtra",
    "Model",
    "PeerError",
    "Problem",
    "Procedure",
    "Request",
    "Route",
    "Server",
    "ServerCall",
    "ServerChannel",
    "ServerStream",
    "Slot",
    "Stream",
    "TransportError",
    "UsageError",
    "connect_memory",
    "connect_tcp",
    "connect_unix",
    "current_call",
    "require_runtime",
    "serve_tcp",
    "serve_unix",
]
