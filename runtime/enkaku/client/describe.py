"""Asking a server what it serves: the reserved request ``enkaku:describe``."""

from collections.abc import Mapping
from typing import Protocol, Unpack

from enkaku.calls.descriptions import (
    DESCRIBE_REQUEST,
    WITHOUT_PROTOCOL,
    DescribeReply,
    Description,
)
from enkaku.errors import CallError, DecodeError, Problem
from enkaku.options import CallOptions
from enkaku.procedures import Request
from enkaku.values.exact import ABSENT
from enkaku.wire.error_codes import ErrorCode
from enkaku.wire.messages import DESCRIBE

__all__ = ["Asks", "ask_for_description", "ask_for_digests"]

_NOT_DESCRIBED = (
    "The server does not describe itself: it has no option describe=True, or does not know it"
)


class Asks(Protocol):
    """A connection."""

    @property
    def peer(self) -> str:
        """The server's address."""
        ...

    async def request(
        self,
        procedure: Request[Mapping[str, object] | None, DescribeReply],
        param: Mapping[str, object] | None,
        **options: Unpack[CallOptions],
    ) -> DescribeReply:
        """Send a request and wait for its result."""
        ...


async def ask_for_description(connection: Asks, **options: Unpack[CallOptions]) -> Description:
    """Return what a server serves; see ``Connection.describe``."""
    reply = await _ask(connection, whole=True, **options)
    if reply.protocol is ABSENT:
        raise DecodeError(
            DESCRIBE_REQUEST.result.label, (Problem("/protocol", "object", "nothing"),)
        )
    return Description(reply.protocol, reply.digest, reply.enkaku)


async def ask_for_digests(connection: Asks) -> DescribeReply:
    """Return the digests of what a server serves, without the protocol.

    Raises:
        CallError: It does not describe itself, or rejects the call.
        EnkakuError: As ``Connection.request`` does.
    """
    return await _ask(connection, whole=False)


async def _ask(connection: Asks, *, whole: bool, **options: Unpack[CallOptions]) -> DescribeReply:
    try:
        return await connection.request(
            DESCRIBE_REQUEST, None if whole else WITHOUT_PROTOCOL, **options
        )
    except CallError as error:
        if error.code != ErrorCode.INVALID_MESSAGE:
            raise
        raise CallError(error.code, _NOT_DESCRIBED, procedure=DESCRIBE) from error
