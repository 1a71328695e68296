"""Enkaku: an asyncio RPC runtime for typed requests, streams, channels and events.

``__all__`` has every public name. Sockets, the server and the testing tools are imported on first use.
"""

import typing as _typing

from enkaku.calls.callers import Identity
from enkaku.calls.deadlines import deadline
from enkaku.calls.hooks import Hook, OutgoingCall, Proceed, hook_for
from enkaku.calls.info import Call, ConnectionInfo, Outcome, State, StateKey
from enkaku.calls.observers import Interceptor, Lifespan, Observer
from enkaku.client.connection import Connection, ConnectionLifespan, ConnectionOptions
from enkaku.client.reconnect import ConnectionState
from enkaku.client.streams import ClientChannel, ClientStream
from enkaku.flow.overflow import WhenFull
from enkaku.server.call import ServerCall, current_call
from enkaku.server.handler import Handler, Route, ServerChannel, ServerStream
from enkaku.transports.base import Certificate, PeerCredentials
from enkaku.transports.request import HttpRequest
from enkaku.values.exact import ABSENT, Absent
from enkaku.values.json_schema import Checked
from enkaku.values.model import Model
from enkaku.values.slot import Slot

from ._version import VERSION, require_runtime
from .composition import compose, prefixed
from .errors import (
    AddressInUse,
    AuthenticationFailed,
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
    RejectConnection,
    TransportError,
    UsageError,
)
from .event_loop import run
from .limits import Limits
from .options import (
    AccessRule,
    CallOptions,
    Predicate,
    RateLimits,
    Reconnect,
    ServerOptions,
    StreamOptions,
)
from .procedures import Channel, DeclaredDataError, DeclaredError, Event, Procedure, Request, Stream

if _typing.TYPE_CHECKING:
    from enkaku.calls.authenticators import Authenticator, Proof
    from enkaku.calls.descriptions import Description
    from enkaku.calls.jwt import JwtAuthenticator
    from enkaku.client.reopening import Gap, Reopening, reopening
    from enkaku.identity.capabilities import delegate
    from enkaku.identity.keys import KeyPair
    from enkaku.identity.replays import ReplayGuard, ReplayStore
    from enkaku.server.access import allow
    from enkaku.server.broadcast import Broadcast
    from enkaku.server.server import Server
    from enkaku.testing.memory import connect_memory
    from enkaku.transports.sockets.systemd import PassedSocket, systemd_sockets

    from . import sync as sync
    from .addresses import ConnectOptions, connect
    from .asgi_app import AsgiApp, asgi
    from .connections import (
        connect_http,
        connect_process,
        connect_socket,
        connect_tcp,
        connect_unix,
        connect_ws,
    )
    from .preparation import prepare
    from .serve import serve_http, serve_socket, serve_stdio, serve_tcp, serve_unix
else:
    # Generated code does not need these: they are imported on first use, which makes a client start faster.
    from ._lazy import load_later as _load_later

    __getattr__ = _load_later(
        __name__,
        {
            "addresses": ("ConnectOptions", "connect"),
            "asgi_app": ("AsgiApp", "asgi"),
            "calls.authenticators": ("Authenticator", "Proof"),
            "calls.descriptions": ("Description",),
            "calls.jwt": ("JwtAuthenticator",),
            "client.reopening": ("Gap", "Reopening", "reopening"),
            "connections": (
                "connect_http",
                "connect_process",
                "connect_socket",
                "connect_tcp",
                "connect_unix",
                "connect_ws",
            ),
            "identity.capabilities": ("delegate",),
            "identity.keys": ("KeyPair",),
            "identity.replays": ("ReplayGuard", "ReplayStore"),
            "preparation": ("prepare",),
            "serve": ("serve_http", "serve_socket", "serve_stdio", "serve_tcp", "serve_unix"),
            "server.access": ("allow",),
            "server.broadcast": ("Broadcast",),
            "server.server": ("Server",),
            "sync": ("sync",),
            "testing.memory": ("connect_memory",),
            "transports.sockets.systemd": ("PassedSocket", "systemd_sockets"),
        },
    )

__version__ = VERSION

__all__ = [
    "ABSENT",
    "VERSION",
    "Absent",
    "AccessRule",
    "AddressInUse",
    "AsgiApp",
    "AuthenticationFailed",
    "Authenticator",
    "Broadcast",
    "Call",
    "CallClosed",
    "CallError",
    "CallOptions",
    "Certificate",
    "Channel",
    "Checked",
    "ClientChannel",
    "ClientStream",
    "ConnectFailed",
    "ConnectOptions",
    "Connection",
    "ConnectionInfo",
    "ConnectionLifespan",
    "ConnectionLost",
    "ConnectionOptions",
    "ConnectionState",
    "DeadlineExceeded",
    "DeclaredDataError",
    "DeclaredError",
    "DecodeError",
    "Description",
    "EncodeError",
    "EnkakuError",
    "Event",
    "Gap",
    "Handler",
    "HandlerError",
    "Hook",
    "HttpRequest",
    "Identity",
    "InboxOverflow",
    "IncompatibleRuntime",
    "Interceptor",
    "InvalidMessage",
    "JwtAuthenticator",
    "KeyPair",
    "Lifespan",
    "Limits",
    "MessageTooLarge",
    "MissingExtra",
    "Model",
    "NotActivated",
    "NotSupported",
    "Observer",
    "Outcome",
    "OutgoingCall",
    "PassedSocket",
    "PeerCredentials",
    "PeerError",
    "Predicate",
    "Problem",
    "Procedure",
    "Proceed",
    "Proof",
    "RateLimits",
    "Reconnect",
    "RejectConnection",
    "Reopening",
    "ReplayGuard",
    "ReplayStore",
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
    "allow",
    "asgi",
    "compose",
    "connect",
    "connect_http",
    "connect_memory",
    "connect_process",
    "connect_socket",
    "connect_tcp",
    "connect_unix",
    "connect_ws",
    "current_call",
    "deadline",
    "delegate",
    "hook_for",
    "prefixed",
    "prepare",
    "reopening",
    "require_runtime",
    "run",
    "serve_http",
    "serve_socket",
    "serve_stdio",
    "serve_tcp",
    "serve_unix",
    "sync",
    "systemd_sockets",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
