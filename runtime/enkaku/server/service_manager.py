"""Service manager: notifies systemd, or another that has started this process, by the protocol sd_notify(3).

A server that is served by ``serve_forever`` notifies it of its start and stop, of its state as text, and, if the unit has
``WatchdogSec=``, that its event loop is not blocked. Notifications never block and never raise: what cannot be sent is logged.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Final

from enkaku.errors import escaped

__all__ = ["Notifications", "ServiceManager", "service_manager"]

logger: Final = logging.getLogger("enkaku.server")

_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_STATUS_MAX: Final = 500  # characters
_DIGITS: Final = 18  # of a period in microseconds
_LEAST: Final = 0.001  # seconds between two pings of the watchdog


class ServiceManager:
    """What a process knows of who has started it.

    Args:
        address: The path of its socket; an abstract one begins with ``@``.
        watchdog: After how many seconds without a ping it ends the process; None if it does not.

    Attributes:
        pid: The process that it waits for.
    """

    def __init__(self, address: str, watchdog: float | None) -> None:
        self.pid: Final = os.getpid()
        self.watchdog: Final = watchdog
        self._address: Final = address
        self._served: dict[Notifications, None] = {}
        self._is_ready = False
        self._has_failed = False

    def add(self, notifications: "Notifications") -> None:
        """Handle that one more server is served."""
        self._served[notifications] = None

    def remove(self, notifications: "Notifications") -> None:
        """Handle that a server is no longer served."""
        self._served.pop(notifications, None)

    def update(self, status: str) -> None:
        """Send the state of a server, and with it that the process is ready, once all of its servers serve."""
        lines = [f"STATUS={escaped(status[:_STATUS_MAX])}"]
        if not self._is_ready and all(each.serving for each in self._served):
            self._is_ready = True
            lines.append("READY=1")
        self.send(*lines)

    def stop(self) -> None:
        """Send that the process stops, once all of its servers do."""
        if all(each.stopping for each in self._served):
            self.send("STOPPING=1")

    def send(self, *lines: str) -> None:
        """Send a notification."""
        address = os.fsencode(self._address)
        if address.startswith(b"@"):
            address = b"\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)  # noqa: FBT003 # a positional parameter of socket
                sender.sendto("\n".join(lines).encode(), address)
        except (OSError, ValueError) as error:
            level = logging.DEBUG if self._has_failed else logging.WARNING
            self._has_failed = True
            logger.log(level, "the service manager cannot be notified: %s", error)


class Notifications:
    """The notifications of one server, while it is served.

    Args:
        manager: Who is notified.
        describe: Returns whether the server serves, and its state as text.

    Attributes:
        serving: Whether the server serves.
        stopping: Whether it stops.
    """

    def __init__(self, manager: ServiceManager, describe: Callable[[], tuple[bool, str]]) -> None:
        self.serving = False
        self.stopping = False
        self._manager: Final = manager
        self._describe: Final = describe
        self._status = ""
        self._timer: asyncio.TimerHandle | None = None
        manager.add(self)
        self.update()
        self._feed_watchdog()

    def update(self) -> None:
        """Handle that the state may have changed."""
        self.serving, status = self._describe()
        if status != self._status:
            self._status = status
            self._manager.update(status)

    def stop(self) -> None:
        """Handle that the server stops."""
        if not self.stopping:
            self.stopping = True
            self._manager.stop()

    def close(self) -> None:
        """Handle that the server is no longer served."""
        if self._timer is not None:
            self._timer.cancel()
        self._manager.remove(self)

    def _feed_watchdog(self) -> None:
        """Ping the watchdog now, and twice in each period, from the event loop, so that a blocked one is noticed."""
        watchdog = self._manager.watchdog
        if watchdog is not None:
            self._manager.send("WATCHDOG=1")
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(watchdog / 2, _LEAST), self._feed_watchdog)


_managers: Final[list[ServiceManager]] = []  # the one of this process, once it is known


def service_manager() -> ServiceManager | None:
    """Return who has started this process and waits for notifications; None if nobody does.

    The first call removes ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` from the environment, so that child
    processes do not send notifications in the name of this one.
    """
    found = {name: os.environ.pop(name, "") for name in _VARIABLES}
    address = found["NOTIFY_SOCKET"]
    if address.startswith(("/", "@")):
        _managers[:] = [ServiceManager(address, _watchdog(found))]
    elif address:
        logger.warning("NOTIFY_SOCKET: expected a path, or a name after '@'; got %s", address)
    return next((each for each in _managers if each.pid == os.getpid()), None)


def _watchdog(variables: dict[str, str]) -> float | None:
    """Return the period of the watchdog in seconds; None if it does not watch this process."""
    period, pid = variables["WATCHDOG_USEC"], variables["WATCHDOG_PID"]
    if not (period.isascii() and period.isdigit() and len(period) <= _DIGITS and int(period)):
        return None
    return int(period) / 1_000_000 if pid in ("", str(os.getpid())) else None
