"""The login of a connection: who has logged in, and until when.

An expired login is not the same as none. It rejects each call without a proof of its own until the next login, so that a connection
never goes on as somebody else, such as its Unix user. A signed login binds the connection to the key that has signed it: who can write
into the connection, but has another key, gets nothing of the login.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from enkaku.calls.callers import Identity
from enkaku.calls.info import ConnectionInfo
from enkaku.identity.proofs import ACCESS_DENIED
from enkaku.identity.tokens import EXPIRED, denied

__all__ = ["Login"]

_ANOTHER: Final = "Logged in as another identity"
_LONGEST: Final = 86400.0  # seconds of a timer; then it is set again


class EndsLogin(Protocol):
    """The session of a login."""

    def on_login_expired(self) -> None:
        """Handle that the login has expired."""


class Login:
    """The login of a connection.

    Args:
        connection: The connection.
        clock: Returns the time, in seconds since the epoch.
        session: Is notified when the login expires.

    Attributes:
        identity: Who has logged in, also after the expiry; None before the first login.
    """

    __slots__ = ("_clock", "_connection", "_session", "_signer", "_timer", "identity")

    def __init__(
        self, connection: ConnectionInfo, clock: Callable[[], float], session: EndsLogin
    ) -> None:
        self.identity: Identity | None = None
        self._connection: Final = connection
        self._clock: Final = clock
        self._session: Final = session
        self._signer: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def log_in(self, identity: Identity, signer: str | None) -> None:
        """Log in, or renew the login.

        Args:
            identity: Who logs in.
            signer: The name of the key that has signed the login; None if it is not signed.

        Raises:
            Rejected: The connection belongs to another identity.
        """
        before = self.identity
        if before is not None and (before.id, self._signer) != (identity.id, signer):
            raise denied(_ANOTHER)
        self.identity, self._signer = identity, signer
        self._connection.log_in(identity)
        self.close()
        self._set_timer(identity)

    def require(self, signer: str | None, *, proven: bool) -> None:
        """Check that the login does not reject a call.

        Args:
            signer: The name of the key that has signed the call; None if it is not signed.
            proven: Whether the call has a proof of its own.

        Raises:
            Rejected: The login has expired, and the call has no other proof; or another key has signed the login.
        """
        identity = self.identity
        if identity is None:
            return
        if self._signer is not None and signer != self._signer:
            raise denied(ACCESS_DENIED)
        expired = self._has_expired(identity)
        if expired and self._timer is not None:  # which is late
            self._expire()
        if expired and not proven:
            raise denied(EXPIRED)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _has_expired(self, identity: Identity) -> bool:
        return identity.expires is not None and not self._clock() < identity.expires

    def _set_timer(self, identity: Identity) -> None:
        if identity.expires is not None:
            seconds = min(max(0.0, identity.expires - self._clock()), _LONGEST)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._on_timer, identity)

    def _on_timer(self, identity: Identity) -> None:
        if self._has_expired(identity):
            self._expire()
        else:  # the timer was limited, or the clock was set
            self._set_timer(identity)

    def _expire(self) -> None:
        self.close()
        self._connection.log_in(None)
        self._session.on_login_expired()
