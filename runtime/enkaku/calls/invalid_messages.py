"""Invalid messages of a peer: observers are notified of each, and the log has the first of a connection as a warning.

The warnings of all connections are rate-limited together, and contain no values. All that is known of each message is logged
at debug level.
"""

import logging
import time
from typing import Final

from enkaku.errors import escaped

from .info import ConnectionInfo
from .observers import Observers

__all__ = ["InvalidMessages"]

_REASON_MAX: Final = 500  # characters in the log
_WITHIN: Final = 60.0  # seconds
_TEXT: Final = "%s sent an invalid message: %s"


class InvalidMessages:
    """Reports the invalid messages of one connection.

    Args:
        connection: The connection.
        observers: Are notified; their ``log`` limits the warnings.
        logger: Belongs to the side that received the messages.
    """

    __slots__ = ("_connection", "_count", "_logger", "_observers", "_reported", "_since")

    def __init__(
        self, connection: ConnectionInfo, observers: Observers, logger: logging.Logger
    ) -> None:
        self._connection: Final = connection
        self._observers: Final = observers
        self._logger: Final = logger
        self._reported = False
        self._count = 0
        self._since = 0.0

    def exceed(self, most: int) -> bool:
        """Count a message that could not be decoded; return whether there were more than so many within a minute."""
        now = time.monotonic()
        if now - self._since > _WITHIN:
            self._since, self._count = now, 0
        self._count += 1
        return self._count > most

    def report(self, reason: str, without_values: str = "") -> None:
        """Report one invalid message.

        Args:
            reason: What is invalid.
            without_values: The same without values of the message, if the reason contains some.
        """
        peer = self._connection.peer
        self._observers.invalid_message(self._connection, reason)
        if not self._reported:
            self._reported = True
            kind = "invalid messages"
            text = escaped((without_values or reason)[:_REASON_MAX])
            self._observers.log.log(self._logger, logging.WARNING, kind, _TEXT, peer, text)
            if not without_values:
                return
        if self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug(_TEXT, peer, escaped(reason[:_REASON_MAX]))
