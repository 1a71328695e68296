"""The login of a client's connection: on each session before any other call, and again before it expires.

Over HTTP, each POST is a connection of its own, and a login checks the proof alone. There, its metadata is sent with each call.

A login that fails while the session is open is tried again until it succeeds. The server rejects calls meanwhile, once the last login
has expired.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from enkaku._log_limit import LogLimit
from enkaku.calls.deadlines import due_after
from enkaku.calls.logins import LOGIN, LOGIN_REQUEST, seconds_left
from enkaku.errors import CallError
from enkaku.options import LoginSource, MetadataSource
from enkaku.wire.error_codes import ErrorCode
from enkaku.wire.metadata import NO_METADATA

from .metadata import call_source, within
from .session import ClientSession, RequestCall, send_request

__all__ = ["Login", "is_rejected"]

logger: Final = logging.getLogger("enkaku.client")

_MARGIN: Final = 30.0  # seconds before the expiry, for retries
_MARGIN_PART: Final = 0.2  # or this part of the time that the login lasts, if that is less
_LEAST: Final = 1.0  # seconds between two logins
_LONGEST_PAUSE: Final = 30.0  # seconds between two attempts


class Login:
    """Logs in on the sessions of a connection.

    Args:
        source: Returns the metadata of the login.
        timeout: How long a login may take, in seconds, the function included; None means no timeout.
        log: Limits what is logged.
    """

    def __init__(self, source: LoginSource, timeout: float | None, log: LogLimit) -> None:
        self._source: Final = source
        self._timeout: Final = timeout
        self._log: Final = log
        self._metadata: Mapping[str, str] = NO_METADATA  # of the last login

    def add_to(self, metadata: MetadataSource | None) -> MetadataSource:
        """Return metadata of calls together with that of the last login."""

        async def gather() -> Mapping[str, str]:
            own = await call_source(metadata, "metadata") if callable(metadata) else metadata
            return {**self._metadata, **(own or {})}

        return gather

    @asynccontextmanager
    async def logged_in(self, session: ClientSession) -> AsyncGenerator[None, None]:
        """Log in; then keep the session logged in until the block is left.

        Raises:
            CallError: The server has rejected the login.
            ConnectionLost: The session was lost.
            DeadlineExceeded: It took too long.
            Exception: What the function has raised.
        """
        left = await self._log_in(session)
        if left is None:
            yield
            return
        renewing = asyncio.get_running_loop().create_task(self._renew(session, left))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait((renewing,))

    async def _log_in(self, session: ClientSession) -> float | None:
        """Log in; return in how many seconds the login expires, None if it does not."""
        due = due_after(time.monotonic(), self._timeout)
        async with within(LOGIN_REQUEST, due):
            metadata = await call_source(self._source, "login")
        call = RequestCall(LOGIN_REQUEST, session, time.monotonic(), due)
        call.metadata = metadata
        try:
            reply = await send_request(LOGIN_REQUEST, call, None)
        except CallError as error:
            if error.code == ErrorCode.INVALID_MESSAGE:
                reason = "The server has no logins: it has no authenticators, or does not know them"
                raise CallError(error.code, reason, procedure=LOGIN) from error
            raise
        finally:
            call.metadata = NO_METADATA
        self._metadata = metadata
        return seconds_left(reply)

    async def _renew(self, session: ClientSession, left: float) -> None:
        """Log in again and again, before the login expires."""
        delay, pause = _until_renewal(left), _LEAST
        while True:
            await asyncio.sleep(delay)
            try:
                renewed = await self._log_in(session)
            except Exception as error:  # noqa: BLE001 # whatever the function raises
                if not session.is_open:
                    return
                text = "%s: to log in again failed, and will be tried again"
                kind, peer = text % "", session.info.peer
                self._log.log(logger, logging.WARNING, kind, text, peer, error=error)
                delay, pause = pause, min(2 * pause, _LONGEST_PAUSE)
            else:
                if renewed is None:
                    return
                delay, pause = _until_renewal(renewed), _LEAST


def _until_renewal(left: float) -> float:
    return max(left - min(_MARGIN, left * _MARGIN_PART), _LEAST)


def is_rejected(error: Exception) -> bool:
    """Return whether an error is that of a login which the server rejects, and would reject again."""
    codes = {ErrorCode.ACCESS_DENIED.value, ErrorCode.INVALID_MESSAGE.value}
    return isinstance(error, CallError) and error.procedure == LOGIN and error.code in codes
