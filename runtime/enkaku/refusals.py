"""What a client is told, and what is logged, of what it did wrong.

Above it: the session. Below it: messages, observers.
"""

import logging
from typing import Final

from .capacity import Refusal
from .encoding import encode_error
from .errors import DecodeError
from .facts import ConnectionInfo
from .framing import Oversized
from .messages import ANSWERED, glance_at
from .policy import Policy
from .transport import Transport

__all__ = ["INVALID", "Refusals"]

logger: Final = logging.getLogger("enkaku.server")

INVALID: Final = ("EK08", "Invalid protocol message")
_TOO_LARGE: Final = ("EK06", "Message exceeds maximum size")
_RID_MAX: Final = 1024  # characters of an overlong rid that are worth echoing
_EXPLANATION_MAX: Final = 1000  # characters that a client is told about a value of its own


class Refusals:
    """Refuses what a client of one connection sends.

    Args:
        transport: Takes the answers.
        connection: Whose they are.
        policy: Says whom to tell, and how much.
    """

    __slots__ = (
        "_connection",
        "_policy",
        "_reported",
        "_transport",
    )

    def __init__(self, transport: Transport, connection: ConnectionInfo, policy: Policy) -> None:
        self._transport = transport
        self._connection = connection
        self._policy = policy
        self._reported = False

    def refuse(self, rid: str, refusal: Refusal) -> None:
        """Answer with an error."""
        if len(rid) <= _RID_MAX:
            self._transport.write(encode_error(rid, *refusal))

    def invalid(self, rid: str, reason: str) -> None:
        """Refuse a message that makes no sense where the connection stands."""
        self.report(reason)
        self.refuse(rid, INVALID)

    def value(self, rid: str, error: DecodeError) -> None:
        """Refuse a value that its schema refuses."""
        self.report(str(error))
        code, message = INVALID
        if self._policy.explain_refusals:
            message = f"{message}: {error.reason}"[:_EXPLANATION_MAX]
        self.refuse(rid, (code, message))

    def oversized(self, line: Oversized) -> None:
        """Refuse a line that was too long to be read."""
        typ, rid = glance_at(line.head)
        self.report(f"a line of more than {self._policy.limits.message_size} bytes")
        if rid is not None and typ in ANSWERED:
            self.refuse(rid, _TOO_LARGE)

    def report(self, reason: str) -> None:
        """Tell what the client did wrong; log it once loudly, since a hostile client could fill the disk."""
        self._policy.observers.invalid_message(self._connection, reason)
        level = logging.DEBUG if self._reported else logging.WARNING
        self._reported = True
        logger.log(level, "%s sent an invalid message: %.500s", self._connection.peer, reason)

    def overload(self, procedure: str, problem: str) -> None:
        """Tell that a limit was met."""
        self._policy.observers.overloaded(self._connection, procedure, problem)
        logger.debug("%s: %s: %s", self._connection.peer, procedure, problem)
