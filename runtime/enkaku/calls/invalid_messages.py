"""Invalid messages of a peer: observers are notified of each, and the log has the first as a warning, the others at debug level.

Without this rule, a hostile peer could fill the disk.
"""

import logging
from typing import Final

from enkaku.errors import escaped

from .info import ConnectionInfo
from .observers import Observers

__all__ = ["InvalidMessages"]

_REASON_MAX: Final = 500  # characters in the log


class InvalidMessages:
    """Reports the invalid messages of one connection.

    Args:
        connection: The connection.
        observers: Are notified.
        logger: Belongs to the side that received the messages.
    """

    __slots__ = ("_connection", "_logger", "_observers", "_reported")

    def __init__(
        self, connection: ConnectionInfo, observers: Observers, logger: logging.Logger
    ) -> None:
        self._connection: Final = connection
        self._observers: Final = observers
        self._logger: Final = logger
        self._reported = False

    def report(self, reason: str) -> None:
        """Report one invalid message."""
        self._observers.invalid_message(self._connection, reason)
        level = logging.DEBUG if self._reported else logging.WARNING
        self._reported = True
        text = escaped(reason[:_REASON_MAX])
        self._logger.log(level, "%s sent an invalid message: %s", self._connection.peer, text)
