"""Descriptions of servers: the answers to ``enkaku:describe``.

A description has the procedures that its caller may call, and the definitions that these need. It is composed of the documents in the
generated packages of the handlers, in a thread, and kept encoded for the callers that may call the same procedures.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol, cast

from enkaku._json import dump_json
from enkaku._version import VERSION
from enkaku.calls.descriptions import (
    DESCRIBE_REQUEST,
    Package,
    digest_of,
    package_of,
)
from enkaku.calls.json_schemas import Json, needed, renamed
from enkaku.errors import HandlerError, UsageError
from enkaku.values.slot import Slot
from enkaku.wire.error_codes import ErrorCode

from .call import ServerCall, current_call
from .handler import Route

__all__ = ["AllowsCalls", "make_route"]

_KEPT: Final = 8  # encoded answers
_SLOTS: Final = ("data", "param", "send", "receive", "result", "error")


class AllowsCalls(Protocol):
    """The gate of a server."""

    def may_call(self, call: ServerCall) -> frozenset[str]:
        """Return which procedures the caller of a call may call."""
        ...


def make_route(
    routes: Mapping[str, Route], gate: AllowsCalls | None, *, message_size: int
) -> Route:
    """Return what serves ``enkaku:describe``.

    Args:
        routes: What the server serves.
        gate: Knows what a caller may call; None if everybody may call everything.
        message_size: The greatest size of a description, in bytes.

    Raises:
        UsageError: A procedure has no description.
    """
    describer = _Describer(
        {name: _part_of(route) for name, route in routes.items()}, gate, message_size
    )
    return Route(
        DESCRIBE_REQUEST,
        describer.describe,
        value=DESCRIBE_REQUEST.param,
        result=cast("Slot[Any]", _Encoded()),
    )


class _Encoded:
    """Stands for the slot of the result, which is encoded already."""

    declared: Final = True

    def encode(self, value: bytes) -> bytes:
        return value


class _Part(NamedTuple):
    """Where a procedure is described.

    Attributes:
        package: The generated package.
        section: ``"procedures"`` or ``"callbacks"``.
        name: Its name there, without a prefix.
    """

    package: Package
    section: str
    name: str

    @property
    def digest(self) -> str:
        """The digest of the procedure."""
        found = self.package.procedures if self.section == "procedures" else self.package.callbacks
        return found[self.name]

    @property
    def document(self) -> dict[str, Json]:
        """The procedure."""
        return _object(_object(self.package.protocol, self.section), self.name)


def _part_of(route: Route) -> _Part:
    """Return where the procedure of a route is described.

    Raises:
        UsageError: Nowhere.
    """
    owner, name = type(route.owner), route.procedure.original.name
    for each in owner.__mro__:
        package: object = vars(each).get("__enkaku_package__")
        if not isinstance(package, str):
            continue
        try:
            found = package_of(package)
        except UsageError as error:
            raise UsageError(f"describe: {error}") from None
        for section, digests in (("procedures", found.procedures), ("callbacks", found.callbacks)):
            if name in digests:
                return _Part(found, section, name)
    raise UsageError(
        f"describe: {owner.__name__} serves {route.procedure.name!r}, which no generated package describes: generate "
        "its package again, with this version of enkaku, or serve without describe=True"
    )


class _Describer:
    """Describes a server.

    Args:
        parts: Where each procedure is described, by the name under which it is served.
        gate: Knows what a caller may call; None if everybody may call everything.
        most: The greatest size of a description, in bytes.
    """

    def __init__(self, parts: Mapping[str, _Part], gate: AllowsCalls | None, most: int) -> None:
        self._parts: Final = parts
        self._all: Final = frozenset(parts)
        self._gate: Final = gate
        self._most: Final = most
        self._making: Final = asyncio.Lock()
        self._known: Final[OrderedDict[tuple[frozenset[str], bool], bytes]] = OrderedDict()

    async def describe(self, param: Mapping[str, object] | None) -> bytes:
        """Return the encoded reply to a call.

        Raises:
            HandlerError: It would be too large.
        """
        call = current_call()
        names = self._all if self._gate is None else self._all & self._gate.may_call(call)
        whole = (param or {}).get("protocol") is not False
        async with self._making:
            key = (names, whole)
            if key not in self._known:
                self._known[key] = await asyncio.to_thread(
                    _encoded, self._parts, names, whole=whole
                )
            self._known.move_to_end(key)
            reply = self._known[key]
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        if len(reply) > self._most:
            raise HandlerError(
                ErrorCode.MESSAGE_TOO_LARGE.value,
                f"The description has {len(reply)} bytes; the Limits.message_size of the server is {self._most}",
            )
        # A client that asks again and again, and reads nothing, must not make the server hold a reply for each.
        await call.context.transport.drain()
        return reply


def _encoded(parts: Mapping[str, _Part], names: frozenset[str], *, whole: bool) -> bytes:
    served = {name: parts[name] for name in sorted(names)}
    packages = [*dict.fromkeys(part.package for part in served.values())]
    procedures = {name: part.digest for name, part in served.items()}
    callbacks: dict[str, str] = {}
    for package in packages:
        callbacks = {**package.callbacks, **callbacks}
    reply: dict[str, Json] = {"protocol": _document(served, packages)} if whole else {}
    reply |= {
        "digest": digest_of(procedures, callbacks),
        "digests": {"procedures": procedures, "callbacks": callbacks},
        "enkaku": VERSION,
    }
    return dump_json(reply)


def _document(served: Mapping[str, _Part], packages: list[Package]) -> Json:
    """Return the protocol of some procedures of some packages."""
    head: dict[str, Json] = {}
    if len(packages) == 1:
        head = {
            key: value
            for key, value in packages[0].protocol.items()
            if key not in ("procedures", "callbacks", "$defs")
        }
    else:
        head = _common_head(packages)
    procedures: dict[str, Json] = {}
    callbacks: dict[str, Json] = {}
    definitions: dict[str, Json] = {}
    for package in packages:
        own = {
            name: _of_all(part, alone=len(packages) == 1)
            for name, part in served.items()
            if part.package is package
        }
        others = _object(package.protocol, "callbacks")
        known = _object(package.protocol, "$defs")
        slots = [
            each.get(slot)
            for each in (*own.values(), *map(_dict, others.values()))
            for slot in _SLOTS
        ]
        wanted = {name: known[name] for name in sorted(needed([*slots, head.get("errors")], known))}
        names = _free_names(wanted, definitions)
        definitions |= {
            names.get(name, name): renamed(each, names) for name, each in wanted.items()
        }
        procedures |= {name: _with_names(each, names) for name, each in own.items()}
        callbacks = {
            name: _with_names(_dict(each), names) for name, each in others.items()
        } | callbacks
    sections = {"procedures": procedures, "callbacks": callbacks, "$defs": definitions}
    return {
        **head,
        **{
            key: dict(sorted(each.items()))
            for key, each in sections.items()
            if each or key == "procedures"
        },
    }


def _common_head(packages: list[Package]) -> dict[str, Json]:
    """Return the options of a document that has procedures of several packages."""
    names = [str(each.protocol.get("name")) for each in packages]
    head: dict[str, Json] = {"name": ", ".join(names)} if names else {}
    for option in ("formats", "encodings"):
        joined: dict[str, Json] = {}
        for package in packages:
            joined |= _object(package.protocol, option)
        if joined:
            head[option] = joined
    return head


def _of_all(part: _Part, *, alone: bool) -> dict[str, Json]:
    """Return a procedure; if it is not alone with those of its package, with the errors that these have in common."""
    document, errors = part.document, part.package.protocol.get("errors")
    if alone or errors is None or part.section == "callbacks" or document.get("type") == "event":
        return document
    own = document.get("error")
    declared = [] if own is None else _branches(own)
    declared += [each for each in _branches(errors) if each not in declared]
    return {**document, "error": declared[0] if len(declared) == 1 else {"anyOf": declared}}


def _branches(error: Json) -> list[Json]:
    branches = _dict(error).get("anyOf")
    return [*cast("list[Json]", branches)] if isinstance(branches, list) else [error]


def _free_names(wanted: Mapping[str, Json], taken: Mapping[str, Json]) -> dict[str, str]:
    """Return another name for each definition whose name another package has for something else."""
    names: dict[str, str] = {}
    count = -1
    while count != (
        count := len(names)
    ):  # what refers to a definition with another name differs, too
        for name in sorted(wanted.keys() & taken.keys() - names.keys()):
            if dump_json(renamed(wanted[name], names)) != dump_json(taken[name]):
                number = 2
                while (other := f"{name}{number}") in taken or other in wanted:
                    number += 1
                names[name] = other
    return names


def _with_names(procedure: dict[str, Json], names: Mapping[str, str]) -> dict[str, Json]:
    if not names:
        return procedure
    return {key: renamed(each, names) if key in _SLOTS else each for key, each in procedure.items()}


def _object(value: Mapping[str, Json], key: str) -> dict[str, Json]:
    return _dict(value.get(key))


def _dict(value: Json) -> dict[str, Json]:
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}
