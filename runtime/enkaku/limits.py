"""What one side keeps for the other, at the most."""

from dataclasses import dataclass

from .errors import UsageError

__all__ = ["Limits"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what a peer can make this side keep. These are security limits.

    Attributes:
        message_size: The longest line that is read, in bytes; 10 MiB by default. A longer one is discarded
            while it streams in: a call gets ``EK06``. After four times as much without a newline, the
            connection is ended.
        inbox_size: From how many unread bytes of a call on the connection is not read further, unless
            somebody waits for something else on it; 1 MiB by default. The peer's writes wait.
        inbox_limit: How many unread bytes of a call are kept at the most; 16 MiB by default. Past that the
            call ends: on the client with ``InboxOverflow``, on the server with ``EKP02``.

    Raises:
        UsageError: A size is not positive, or the inbox's limit is not above its size.
    """

    message_size: int = 10 * _MIB
    inbox_size: int = 1 * _MIB
    inbox_limit: int = 16 * _MIB

    def __post_init__(self) -> None:
        if not (self.message_size > 0 and 0 < self.inbox_size < self.inbox_limit):
            raise UsageError(
                f"{self}: sizes are more than 0, and inbox_limit is more than inbox_size, since what is "
                "read at once may go over"
            )
