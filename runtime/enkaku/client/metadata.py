"""The metadata that an attempt of a call sends: the connection's, then the call's own."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from inspect import isawaitable
from types import MappingProxyType

from enkaku.calls.deadlines import left
from enkaku.errors import UsageError
from enkaku.options import MetadataSource
from enkaku.procedures import Procedure
from enkaku.wire.metadata import copy_metadata

from .session import timed_out

__all__ = ["call_source", "gather_metadata", "within"]


async def gather_metadata(
    source: MetadataSource | None, own: Mapping[str, str], procedure: Procedure, due: float | None
) -> Mapping[str, str]:
    """Return the metadata of an attempt.

    Args:
        source: That of the connection, or the function that returns it.
        own: That of the call itself; a name in both has this value.
        procedure: The procedure that is called.
        due: The deadline of the call.

    Raises:
        DeadlineExceeded: The function took too long.
        Exception: What the function has raised.
        UsageError: The metadata is not valid.
    """
    if callable(source):
        async with within(procedure, due):
            source = await call_source(source, "metadata")
    own = copy_metadata(own, f"{procedure.name}: metadata")  # a hook may have set it
    return MappingProxyType({**source, **own}) if source else own


async def call_source(
    source: Callable[[], Awaitable[Mapping[str, str]]], option: str
) -> Mapping[str, str]:
    """Return a copy of the metadata that a function of the program returns.

    Args:
        source: The function.
        option: The name of the option that it is, for errors.

    Raises:
        Exception: What the function has raised.
        UsageError: The function is not async, or the metadata is not valid.
    """
    awaitable: object = source()
    if not isawaitable(awaitable):
        kind = type(awaitable).__name__
        raise UsageError(f"{option}: the function must be async; it returned a {kind}")
    return copy_metadata(await awaitable, f"{option}: what the function returned")


@asynccontextmanager
async def within(procedure: Procedure, due: float | None) -> AsyncGenerator[asyncio.Timeout, None]:
    """Cancel what waits in the block at the deadline of a call; then raise DeadlineExceeded."""
    timeout = asyncio.timeout(None if due is None else left(due))
    try:
        async with timeout:
            yield timeout
    except TimeoutError:
        if not timeout.expired():  # it is the program's own
            raise
        raise timed_out(procedure) from None
