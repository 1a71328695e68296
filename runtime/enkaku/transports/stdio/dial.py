"""Process connector: starts a program, and connects to it over its stdin and stdout.

The transport owns the process. ``close`` closes the process's stdin, and waits until it exits; then it sends SIGTERM, then
SIGKILL. ``abort`` kills it at once. When the connection is lost, the process has its end of input, and is left to exit.

The end of the process's output and its exit are two events, in either order. The connection is lost when both have
happened, so that its error can name the exit status; or ``LINGER`` seconds after the first.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from enkaku._checks import require_seconds
from enkaku.errors import ConnectFailed, ConnectionLost
from enkaku.transports.base import Oversized, Receiver
from enkaku.transports.sockets.transport import State

from .pipes import Pipes
from .process import Command, Process
from .transport import LINGER, PipeTransport

__all__ = ["ProcessDialer", "ProcessTransport"]

_BOM: Final = b"\xef\xbb\xbf"
_SHOWN: Final = 200  # bytes of a line that is no message


@dataclass(frozen=True, slots=True)
class ProcessDialer:
    """Starts a program at each call; a ``Dial``.

    Attributes:
        command: The program.
        terminate_timeout: How long the process may run after SIGTERM, in seconds.
    """

    command: Command
    terminate_timeout: float

    @property
    def timeout(self) -> None:
        """None: starting a program either succeeds or fails, and takes no time that could be bounded."""

    def __post_init__(self) -> None:
        require_seconds("terminate_timeout", self.terminate_timeout)

    @property
    def where(self) -> str:
        """The program, for error messages."""
        return self.command.where

    async def __call__(self) -> PipeTransport:
        """Start the program, and return an open transport.

        Raises:
            ConnectFailed: It cannot be started.
            UsageError: An argument is not valid.
        """
        descriptors: list[int] = []
        try:
            for _ in range(2):
                descriptors += os.pipe()
            stdin, writing, reading, stdout = descriptors
            process = self.command.start(stdin, stdout)
        except OSError as error:
            _close(descriptors)
            raise ConnectFailed(f"{self.where}: {error}") from error
        except BaseException:
            _close(descriptors)
            raise
        _close((stdin, stdout))
        transport = ProcessTransport(self.where, process, terminate_timeout=self.terminate_timeout)
        try:
            Pipes(transport, reading, writing)
        except BaseException:
            process.kill()
            _close((reading, writing))
            raise
        return transport


class ProcessTransport(PipeTransport):
    """The client's end of the stdin and stdout of a process that it owns.

    Args:
        peer: The process, for log lines and error messages.
        process: The process.
        terminate_timeout: How long the process may run after SIGTERM, in seconds.
    """

    def __init__(self, peer: str, process: Process, *, terminate_timeout: float) -> None:
        super().__init__(peer)
        self._process: Final = process
        self._terminate_timeout: Final = terminate_timeout
        self._output_ended = False
        self._end_due = False  # while reading is paused
        process.exited.add_done_callback(self._on_exit)

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors of its pipes, and the one that reports the exit."""
        return [*super().descriptors(), *self._process.descriptors()]

    def start(
        self,
        receiver: Receiver,
        *,
        message_size: int,
        message_time: float | None = None,
        unread_time: float | None = None,
    ) -> None:
        """Start to deliver messages."""
        super().start(
            _FirstMessage(self, receiver),
            message_size=message_size,
            message_time=message_time,
            unread_time=unread_time,
        )

    def deliver_to(self, receiver: Receiver) -> None:
        """Deliver to another receiver from now on."""
        if isinstance(self._receiver, _FirstMessage):
            receiver = _FirstMessage(self, receiver)
        super().deliver_to(receiver)

    def eof_received(self) -> None:
        """Part of the pipes' protocol."""
        self._output_ended = True
        self._check_end()

    async def close(self, *, within: float) -> None:
        """Send what was written, close the process's stdin, and wait until it exits; terminate it after a timeout."""
        try:
            try:
                async with asyncio.timeout(within):
                    self._end_writing()
                    await asyncio.shield(self._lost)
                    await asyncio.shield(self._process.exited)
            except TimeoutError:
                await self._process.terminate(within=self._terminate_timeout)
        except asyncio.CancelledError:
            self._process.kill()
            await self._process.wait(within=LINGER)
            raise
        finally:
            super().abort()
        await asyncio.shield(self._lost)

    def abort(self) -> None:
        """End the connection and the process at once."""
        self._process.kill()
        super().abort()

    def accept(self, receiver: Receiver) -> None:
        """Deliver further messages to the receiver: the first one was a message."""
        super().deliver_to(receiver)

    def reject(self, head: bytes) -> None:
        """End the connection: the first line is no message."""
        text = head[:_SHOWN].decode(errors="replace")
        self._lose(f"the process wrote a line to its stdout that is not a message: {text!r}")

    def _fail(self, error: Exception) -> None:
        """End the connection with an error. The process has its end of input; ``close`` sees to the rest."""
        self._error = error
        super().abort()

    def _lose(self, reason: str) -> None:
        if self._state in (State.OPEN, State.ENDING):
            self._fail(ConnectionLost(reason))

    def _on_exit(self, _: asyncio.Future[None]) -> None:
        self._check_end()

    def _check_end(self) -> None:
        if self._output_ended and self._process.exited.done():
            self._lose(f"the process {self._process.end}")
        else:
            self._start_break_timer()

    def _on_break_time(self) -> None:
        """End the connection, one part of which has ended; but first, let a slow reader have what the process wrote."""
        if self._reading_paused and self._state is State.OPEN and not self._output_ended:
            self._end_due, self._break_timer = True, None
        elif self._process.exited.done():
            self._lose(f"the process {self._process.end}")
        else:
            self._lose(f"the process closed its {'stdout' if self._output_ended else 'stdin'}")

    def _resume_reading(self) -> None:
        super()._resume_reading()
        if self._end_due:
            self._end_due = False
            self._start_break_timer()


class _FirstMessage:
    """Receives the first messages of a process, in place of the receiver: another kind of program prints something else.

    Args:
        transport: The transport, which it ends then.
        receiver: Gets the messages.
    """

    def __init__(self, transport: ProcessTransport, receiver: Receiver) -> None:
        self._transport = transport
        self._receiver = receiver

    def messages_received(self, batch: Sequence[bytes | Oversized]) -> None:
        """Pass messages on."""
        if not batch:
            return
        first = batch[0]
        head = first.head if isinstance(first, Oversized) else first
        if head.removeprefix(_BOM).lstrip().startswith(b"{"):
            self._transport.accept(self._receiver)
            self._receiver.messages_received(batch)
        else:
            self._transport.reject(head)

    def message_growing(self, size: int) -> None:
        """Pass the size on."""
        self._receiver.message_growing(size)

    def connection_lost(self, error: Exception | None) -> None:
        """Pass the end on."""
        self._receiver.connection_lost(error)


def _close(descriptors: Iterable[int]) -> None:
    for each in descriptors:
        os.close(each)
