"""Comparing protocols: that of a generated package, and what the server serves.

Digests are compared first, which takes one small request and reads no document. Only where those of a procedure differ, the documents are
compared, to say where. The comparison runs in a task of its own, so that no call waits for it, and its failure is logged at debug level.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple, cast

from enkaku._json import dump_text
from enkaku.calls.descriptions import Description, Digests, Package, package_of
from enkaku.calls.json_schemas import Json, bare, target_of
from enkaku.errors import escaped
from enkaku.values.exact import ABSENT

from .describe import Asks, ask_for_description, ask_for_digests

__all__ = ["Comparisons", "differences"]

logger: Final = logging.getLogger("enkaku.client")

_SHOWN: Final = 10  # differences in a warning
_VALUE_MAX: Final = 60  # characters of a value in one
_UNORDERED: Final = ("/enum", "/required", "/type")
_SLOTS: Final = ("data", "param", "send", "receive", "result")


class Comparisons:
    """The comparisons of a connection: one for each package and prefix.

    Args:
        loop: The event loop of the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._tasks: Final[dict[tuple[str, str], asyncio.Task[None] | None]] = {}
        self._closed = False

    def begin(self, connection: Asks, package: str, prefix: str) -> None:
        """Compare a package in a task, unless it was compared before. Any thread may call it."""
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._start, connection, package, prefix)

    def _start(self, connection: Asks, package: str, prefix: str) -> None:
        key = (package, prefix)
        if key in self._tasks or self._closed:
            return
        task = self._tasks[key] = self._loop.create_task(_compare(connection, package, prefix))
        task.add_done_callback(lambda _: self._tasks.update({key: None}))

    async def close(self) -> None:
        """Cancel what runs, and begin no more."""
        self._closed = True
        tasks = [task for task in self._tasks.values() if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _compare(connection: Asks, name: str, prefix: str) -> None:
    try:
        package = package_of(name)
        reply = await ask_for_digests(connection)
        if not _differs(package, reply.digests, prefix):
            return
        description = await ask_for_description(connection)
        found = await asyncio.to_thread(_list_differences, package, description, prefix)
    except Exception as error:  # noqa: BLE001 # whatever it is, calls go on
        logger.debug("%s: the protocol of %s was not compared: %s", connection.peer, name, error)
        return
    if not found:
        text = "%s: the protocol of %s is written in another way at the server, and means the same"
        logger.debug(text, connection.peer, name)
        return
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    logger.warning(
        "%s: the server's protocol differs from that of %s: %s%s",
        connection.peer,
        name,
        "; ".join(found[:_SHOWN]),
        more,
    )


def _differs(package: Package, digests: Digests, prefix: str) -> bool:
    """Return whether a procedure of a package is missing at the server, or another there; or a callback is another."""
    callbacks = {} if digests.callbacks is ABSENT else digests.callbacks
    return any(
        digests.procedures.get(prefix + name) != digest
        for name, digest in package.procedures.items()
    ) or any(callbacks.get(name, digest) != digest for name, digest in package.callbacks.items())


def _list_differences(package: Package, description: Description, prefix: str) -> list[str]:
    return [escaped(each) for each in differences(package.protocol, description.protocol, prefix)]


def differences(
    own: Mapping[str, Json], server: Mapping[str, Json], prefix: str = ""
) -> Iterator[str]:
    """Yield where the protocol of a client differs from that of its server, in words.

    Documentation, and procedures that only the server has, are no differences.

    Args:
        own: The protocol of the client, as one document.
        server: That of the server.
        prefix: Precedes the names of the client's procedures at the server.
    """
    for section, start in (("procedures", prefix), ("callbacks", "")):
        there = _object(server.get(section))
        for name, procedure in sorted(_object(own.get(section)).items()):
            if start + name in there:
                here = _Side(own, _object(procedure), section)
                yield from _of_procedure(
                    start + name, here, _Side(server, _object(there[start + name]), section)
                )
            elif section == "procedures":
                yield f"{start}{name} is missing there, or this client may not call it"


class _Side(NamedTuple):
    """A procedure, and the document that it is part of."""

    document: Mapping[str, Json]
    procedure: Mapping[str, Json]
    section: str

    @property
    def definitions(self) -> Mapping[str, Json]:
        return _object(self.document.get("$defs"))

    def errors(self) -> dict[str, Json]:
        """Return the data of each error that is declared, by its code; that of an open code by ``"*"``."""
        declared = [self.procedure.get("error")]
        if self.section == "procedures" and self.procedure.get("type") != "event":
            declared.append(self.document.get("errors"))
        found: dict[str, Json] = {}
        seen: set[str] = set()
        while declared:
            error = _object(declared.pop(0))
            name = target_of(error)
            if name is not None:
                if name not in seen:
                    declared.insert(0, self.definitions.get(name))
                    seen.add(name)
            elif isinstance(error.get("anyOf"), list):
                declared = [*cast("list[Json]", error["anyOf"]), *declared]
            elif error:
                properties = _object(error.get("properties"))
                code = _object(properties.get("code"))
                codes = code.get("enum", [code.get("const", "*")])
                for each in cast("list[Json]", codes) if isinstance(codes, list) else ():
                    found.setdefault(str(each), properties.get("data"))
        return found


def _of_procedure(name: str, here: _Side, there: _Side) -> Iterator[str]:
    kinds = [str(each.procedure.get("type")) for each in (here, there)]
    if kinds[0] != kinds[1]:
        yield f"{name} is a {kinds[0]} here, and a {kinds[1]} there"
        return
    for slot in _SLOTS:
        slots = (here.procedure.get(slot), there.procedure.get(slot))
        yield from _of_slots(f"{name} {slot}", slots, here, there)
    if (here.procedure.get("idempotent") is True) != (there.procedure.get("idempotent") is True):
        side = "here" if here.procedure.get("idempotent") is True else "there"
        yield f"{name} is idempotent {side} only"
    errors = here.errors(), there.errors()
    for code in sorted(errors[0].keys() | errors[1].keys()):
        shown = "an error with an open code" if code == "*" else f"the error {code}"
        if code not in errors[0] or code not in errors[1]:
            yield f"{name} has {shown} {'here' if code in errors[0] else 'there'} only"
        else:
            data = (errors[0][code], errors[1][code])
            yield from _of_slots(f"{name} data of {shown}", data, here, there)


def _of_slots(label: str, slots: tuple[Json, Json], here: _Side, there: _Side) -> Iterator[str]:
    """Yield the first difference between two slots, if there is one."""
    if slots[0] is None and slots[1] is None:
        return
    if slots[0] is None or slots[1] is None:
        yield f"{label} is {'there' if slots[0] is None else 'here'} only"
        return
    schemas = bare(slots[0]), bare(slots[1])
    compared = _Compared(here.definitions, there.definitions)
    yield from (f"{label}: {each}" for each in islice(compared.differences(*schemas), 1))


class _Compared:
    """Compares schemas of two documents.

    Args:
        here: The definitions of the client's document.
        there: Those of the server's.
    """

    def __init__(self, here: Mapping[str, Json], there: Mapping[str, Json]) -> None:
        self._here: Final = here
        self._there: Final = there
        self._seen: Final[set[tuple[str, ...]]] = set()

    def differences(self, here: Json, there: Json) -> Iterator[str]:
        """Yield the differences between two schemas, or values in them; references are followed."""
        waiting = [("", here, there)]
        while waiting:
            pointer, here, there = waiting.pop()
            pair = self._resolved(here, there)
            if pair is None:
                continue
            one, other = pair
            if isinstance(one, dict) and isinstance(other, dict):
                below = _below(cast("dict[str, Json]", one), cast("dict[str, Json]", other))
                waiting += [(f"{pointer}{path}", *each) for path, each in below][::-1]
            elif isinstance(one, list) and isinstance(other, list):
                items = cast("list[Json]", one), cast("list[Json]", other)
                if pointer.endswith(_UNORDERED):
                    items = sorted(items[0], key=dump_text), sorted(items[1], key=dump_text)
                if len(items[0]) == len(items[1]):
                    pairs = zip(*items, strict=True)
                    waiting += [(f"{pointer}/{at}", *each) for at, each in enumerate(pairs)][::-1]
                else:
                    yield _differ(pointer, *items)
            elif _is_other(*pair):
                yield _differ(pointer, *pair)

    def _resolved(self, here: Json, there: Json) -> tuple[Json, Json] | None:
        """Return what two schemas refer to, or themselves; None if the same pair was compared before."""
        while True:
            names = (_alias(here), _alias(there))
            if names == (None, None):
                return here, there
            pair = tuple(
                name or repr(each) for name, each in zip(names, (here, there), strict=True)
            )
            if pair in self._seen:
                return None
            self._seen.add(pair)
            if names[0] is not None:
                here = bare(self._here.get(names[0], _NOTHING))
            if names[1] is not None:
                there = bare(self._there.get(names[1], _NOTHING))


def _below(
    here: Mapping[str, Json], there: Mapping[str, Json]
) -> Iterator[tuple[str, tuple[Json, Json]]]:
    """Yield the values of each key of two objects, with the path of the key; none for a reference next to other keywords."""
    keys = sorted(here.keys() | there.keys())
    if "$ref" in here and "$ref" in there:
        keys.remove("$ref")
        yield "", ({"$ref": here["$ref"]}, {"$ref": there["$ref"]})
    for key in keys:
        path = f"/{key.replace('~', '~0').replace('/', '~1')}"
        yield path, (here.get(key, _NOTHING), there.get(key, _NOTHING))


def _differ(pointer: str, here: Json, there: Json) -> str:
    return f"{pointer or 'the schema'} is {_shown(here)} here, and {_shown(there)} there"


def _alias(schema: Json) -> str | None:
    """Return the definition of which a schema is only another name; None if it is not."""
    own = _object(schema)
    return target_of(own) if len(own) == 1 else None


class _Nothing:
    """Stands for what a document does not have."""


_NOTHING: Final = _Nothing()


def _is_other(one: Json, other: Json) -> bool:
    """Return whether two JSON values differ; true is not 1."""
    return isinstance(one, bool) is not isinstance(other, bool) or one != other


def _shown(value: Json) -> str:
    if isinstance(value, _Nothing):
        return "absent"
    text = dump_text(value)
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}..."


def _object(value: Json) -> Mapping[str, Json]:
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}
