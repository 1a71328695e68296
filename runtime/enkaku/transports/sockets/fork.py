"""Forks: a child process must not keep the sockets of its parent open.

A forked child (``os.fork``, ``multiprocessing`` with its "fork" method) inherits every descriptor. Without this module, the
sockets of a server that is killed would live on in its children: clients would wait for replies, and a new server would find the
address in use. So the child replaces each of them with ``/dev/null``.

They are not closed: asyncio's and Python's objects in the child still name the numbers, and would later close descriptors
that are not theirs. The event loop of the parent is not touched either, whose ``epoll`` the child shares.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakSet

__all__ = ["HasDescriptors", "close_in_children"]


class HasDescriptors(Protocol):
    """What holds sockets open."""

    def descriptors(self) -> Iterable[int]:
        """Return the descriptors of the sockets that are open now."""
        ...


_holders: Final[WeakSet[HasDescriptors]] = WeakSet()


def close_in_children(holder: HasDescriptors) -> None:
    """Close the sockets of a holder in every process that is forked from this one, as long as the holder lives."""
    _holders.add(holder)


def _close_all() -> None:
    sockets = [each for holder in tuple(_holders) for each in holder.descriptors() if each >= 0]
    _holders.clear()
    if not sockets:
        return
    try:
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # no descriptor is free: the first socket's is, then
        os.close(sockets[0])
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for each in sockets:
        if each != nothing:
            with suppress(OSError):
                os.dup2(nothing, each, inheritable=False)
    if nothing not in sockets:
        os.close(nothing)


os.register_at_fork(after_in_child=_close_all)
