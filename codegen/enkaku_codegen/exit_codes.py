"""Exit codes of the commands."""

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """Exit codes of the commands; ``main`` has those of signals.

    Commands that read files have the first three, commands that dial a server have all.
    """

    SUCCESS = 0
    FOUND = 1
    """The command found something, or the protocol is wrong."""
    HANDLER_ERROR = 1
    """The handler's own error."""
    USAGE = 2
    """The arguments are wrong, as argparse has it; or a value that was given breaks its schema."""
    UNREACHABLE = 3
    """No connection."""
    DEADLINE = 4
    """The deadline has passed."""
    PROTOCOL_ERROR = 5
    """The server rejected the call, or broke the protocol; or the connection was lost."""
    INVALID_ANSWER = 6
    """An answer breaks its schema."""
    NOT_SERVING = 7
    """The server says that it is not ready."""
