"""Preparation: builds types before their first use, without blocking the event loop.

A type is built at its first use. That takes about a millisecond for a class, but seconds for thousands of classes that
refer to each other. Here, a thread builds one slot after the other. Most of that is Python code, which yields the GIL every
five milliseconds, so the event loop runs meanwhile. What pauses it is the garbage collector, which visits the millions of
objects of a large type for seconds. So it is off while a slot is built, and large types are excluded from it afterwards.

Servers prepare the types of more than ``_LARGE`` classes, of at most ``_MOST`` classes in total: each type has a validator
of its own for all of its classes, which takes a tenth of a megabyte for each.
"""

import asyncio
import gc
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Final

from enkaku.server.handler import Handler
from enkaku.values.slot import Slot
from enkaku.values.type_sizes import TypeSizes

from .errors import UsageError
from .procedures import Procedure, slots_of

__all__ = ["prepare", "prepare_large"]

_LARGE: Final = 50  # classes of a type; building fewer takes less than 100 ms
_MOST: Final = 10_000  # classes that a server prepares, which takes about a gigabyte
_FROZEN: Final = 500  # classes; so many are excluded from garbage collection

_lock: Final = threading.Lock()  # the garbage collector belongs to the process


async def prepare(*parts: Handler | Procedure | ModuleType) -> None:
    """Build the types of procedures now, so that their first use does not block the event loop.

    A thread builds them, one slot after the other, while the event loop runs. The first use of any other type waits for
    the slot that is being built. If the types have more than 500 classes, ``gc.freeze()`` then excludes all objects that
    exist from garbage collection, because visiting those of the types would pause the program for seconds.

    Args:
        parts: Handlers, procedures, and generated packages, which stand for all of their procedures.

    Raises:
        UsageError: A part is something else, or a type is nested too deep.
    """
    slots = [slot for part in parts for each in _procedures(part) for slot in slots_of(each)]
    is_large = sum(_sizes(slots).values()) > _FROZEN
    for slot in slots:
        await asyncio.to_thread(_prepare, slot, freeze=is_large)


async def prepare_large(handler: Handler) -> None:
    """Build the large types that a handler serves; a server calls this before it accepts connections.

    A type that cannot be built is left to its first use, which raises the error.
    """
    slots = [slot for each in _procedures(handler) for slot in slots_of(each)]
    chosen: dict[int, int] = {}
    for form, size in _sizes(slots).items():
        if size > _LARGE and size + sum(chosen.values()) <= _MOST:
            chosen[form] = size
    is_large = sum(chosen.values()) > _FROZEN
    for slot in slots:
        if id(slot.type_form) in chosen:
            with suppress(UsageError):
                await asyncio.to_thread(_prepare, slot, freeze=is_large)


def _procedures(part: Handler | Procedure | ModuleType) -> Iterable[Procedure]:
    if isinstance(part, Handler):
        return [route.procedure for route in part.__routes__()]
    if isinstance(part, ModuleType):
        return [each for each in vars(part).values() if isinstance(each, Procedure)]
    # A caller without a type checker may pass something else.
    if not isinstance(part, Procedure):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            f"prepare: expected a handler, a procedure or a generated package; got {part!r}"
        )
    return [part]


def _sizes(slots: Sequence[Slot[object]]) -> Mapping[int, int]:
    """Return how many classes each different type has, by its identity: slots of one type share a validator."""
    sizes = TypeSizes()
    forms = {id(slot.type_form): slot.type_form for slot in slots}
    return {form: sizes.count(each) for form, each in forms.items()}


def _prepare(slot: Slot[object], *, freeze: bool) -> None:
    with _lock:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            slot.prepare()
            if freeze:
                gc.freeze()  # while it is off: otherwise it would visit the new objects once
        finally:
            if was_enabled:
                gc.enable()
