"""Preparation: builds types before their first use, without blocking the event loop.

A type is built at its first use. That takes about a millisecond for a class, but seconds for thousands of classes that
refer to each other. Here, a thread builds one slot after the other. Most of that is Python code, which yields the GIL every
five milliseconds, so the event loop runs meanwhile. What pauses it is the garbage collector, which visits the millions of
objects of a large type for seconds. So it is off while a slot is built, and large types are excluded from it afterwards.

An instance of a class within a type needs a validator of that class. For a class of a large cycle, that is as large as the
type. So one class of each large cycle is built as well: from its schema, pydantic builds the others ten times as fast.

Servers prepare the types of more than ``_LARGE`` classes, of at most ``_MOST`` classes in total: each type has a validator
of its own for all of its classes, which takes a tenth of a megabyte for each. They also prepare their first type, whatever its
size, because pydantic loads parts of itself for the first type of a program, which takes 40 ms.
"""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from operator import itemgetter
from types import ModuleType
from typing import Final, NamedTuple

from pydantic import BaseModel

from enkaku.server.handler import Handler
from enkaku.values.slot import Slot
from enkaku.values.type_sizes import TypeSizes

from .errors import UsageError
from .procedures import Procedure, slots_of

__all__ = ["prepare", "prepare_large"]

_LARGE: Final = 50  # classes of a type; building fewer takes less than 100 ms
_MOST: Final = 10_000  # classes that a server prepares, which takes about a gigabyte
_FROZEN: Final = 500  # classes; so many are excluded from garbage collection

logger: Final = logging.getLogger("enkaku.server")

_PARTS: Final = "a handler, a procedure or a generated package"

_lock: Final = threading.Lock()  # the garbage collector belongs to the process


async def prepare(*parts: Handler | Procedure | ModuleType) -> None:
    """Build the types of procedures now, so that their first use does not block the event loop.

    A thread builds them, one slot after the other, while the event loop runs. The first use of any other type waits for
    the slot that is being built. If the types have more than 500 classes, ``gc.freeze()`` then excludes all objects that
    exist from garbage collection, because visiting those of the types would pause the program for seconds.

    Args:
        parts: Handlers, procedures, and generated packages, which stand for all of their procedures.

    Raises:
        UsageError: There is no part, a part is something else or has no procedures, or a type is nested too deep.
    """
    if not parts:
        raise UsageError(f"prepare: expected {_PARTS}; got nothing")
    slots = [slot for part in parts for each in _procedures(part) for slot in slots_of(each)]
    await _build(await asyncio.to_thread(_plan, slots, skip_small=False), skip_errors=False)


async def prepare_large(handler: Handler) -> None:
    """Build the large types that a handler serves; a server calls this before it accepts connections.

    A type that cannot be built is left to its first use, which raises the error.
    """
    routes = [route.procedure for route in handler.__routes__()]
    slots = [slot for each in routes for slot in slots_of(each)]
    plan = await asyncio.to_thread(_plan, slots, skip_small=True)
    if plan.left:
        logger.warning(
            "types that are too large to prepare will block the event loop at their first use: %d, such as %s with %d "
            "classes; a server prepares %d classes in total; await enkaku.prepare() before you serve",
            len(plan.left), *max(plan.left, key=itemgetter(1)), _MOST,
        )  # fmt: skip
    await _build(plan, skip_errors=True)


class _Plan(NamedTuple):
    """What is prepared, in this order.

    Attributes:
        slots: They build their types.
        inner: Classes within these types, which leave little to the first use of the others.
        is_large: Whether objects are excluded from garbage collection.
        left: The label and the number of classes of each type that is too large.
    """

    slots: list[Slot[object]]
    inner: list[type[BaseModel]]
    is_large: bool
    left: list[tuple[str, int]]


def _plan(slots: Sequence[Slot[object]], *, skip_small: bool) -> _Plan:
    """Choose what to prepare. Slots of one type share a validator, so it counts once."""
    sizes = TypeSizes()
    chosen: dict[int, int] = {}
    inner: list[type[BaseModel]] = []
    left: list[tuple[str, int]] = []
    total = 0
    different: dict[int, Slot[object]] = {}
    for slot in slots:
        different.setdefault(id(slot.type_form), slot)
    for form, slot in different.items():
        size = sizes.count(slot.type_form)
        if skip_small and size > _LARGE and total + size > _MOST:
            left.append((slot.label, size))
        elif size > _LARGE or not chosen or not skip_small:
            chosen[form] = size
            total += size
    for form in (form for form, size in chosen.items() if size > _LARGE):
        for model in sizes.inner_classes(different[form].type_form, _LARGE):
            size = sizes.count(model)
            if model not in inner and total + size <= _MOST:
                inner.append(model)
                total += size
    return _Plan(
        [each for each in slots if id(each.type_form) in chosen], inner, total > _FROZEN, left
    )


async def _build(plan: _Plan, *, skip_errors: bool) -> None:
    builds: list[Callable[[], object]] = [slot.prepare for slot in plan.slots]
    builds += [model.model_rebuild for model in plan.inner]
    for build in builds:
        with suppress(UsageError) if skip_errors else nullcontext():
            await asyncio.to_thread(_prepare, build, freeze=plan.is_large)


def _procedures(part: Handler | Procedure | ModuleType) -> Sequence[Procedure]:
    if isinstance(part, Procedure):
        return [part]
    if isinstance(part, Handler):
        found = [route.procedure for route in part.__routes__()]
    # A caller without a type checker may pass something else.
    elif isinstance(part, ModuleType):  # pyright: ignore[reportUnnecessaryIsInstance]
        found = [each for each in vars(part).values() if isinstance(each, Procedure)]
    else:
        raise UsageError(f"prepare: expected {_PARTS}; got {part!r}")
    if not found:
        raise UsageError(f"prepare: expected {_PARTS}; got {part!r}, which has no procedures")
    return found


def _prepare(build: Callable[[], object], *, freeze: bool) -> None:
    with _lock:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            build()
            if freeze:
                gc.freeze()  # while it is off: otherwise it would visit the new objects once
        finally:
            if was_enabled:
                gc.enable()
