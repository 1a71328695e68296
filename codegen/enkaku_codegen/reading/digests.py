"""Digests of the procedures of a protocol: two are equal if and only if their messages have the same schemas, as far as these are written.

The digest of a procedure is that of the canonical JSON (sorted keys, no blanks) of what follows, without documentation: its kind,
whether it is idempotent, the schemas of its slots, the errors that it declares, and, by their names, the definitions to which these refer,
directly or through others. Documentation is ``$comment``, ``deprecated``, ``description``, ``examples``, ``readOnly``, ``title``,
``writeOnly`` and all that begins with ``x-``; and ``default``, unless the protocol fills in defaults. The digest of a protocol is that of
the names and digests of its procedures. Each is the first half of a SHA-256, in hexadecimal digits.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from enkaku_codegen.json_values import Json, as_canonical_json, tokens

from .dialects import DRAFT_2020_12
from .schemas import is_dynamic, subschemas
from .simple_schema import as_dict

__all__ = ["Digests", "digests"]

_DOCUMENTATION: Final = frozenset(
    {
        *("$comment", "deprecated", "description", "examples"),
        *("readOnly", "title", "writeOnly"),
    }
)
_SLOTS: Final = ("data", "param", "send", "receive", "result", "error")


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests of a protocol.

    Attributes:
        protocol: That of all procedures and callbacks.
        procedures: That of each procedure, by its name.
        callbacks: That of each procedure that the server calls.
    """

    protocol: str
    procedures: Mapping[str, str]
    callbacks: Mapping[str, str]


def digests(document: Mapping[str, Json]) -> Digests:
    """Return the digests of a protocol.

    Args:
        document: The protocol as one document; see ``bundle``.
    """
    left_out = (
        _DOCUMENTATION if document.get("defaults") == "fill" else _DOCUMENTATION | {"default"}
    )
    definitions = _Definitions(as_dict(document.get("$defs")), left_out)
    of_all = document.get("errors")
    procedures, callbacks = (
        {
            name: definitions.digest_of(
                as_dict(procedure),
                (
                    of_all
                    if key == "procedures" and as_dict(procedure).get("type") != "event"
                    else None
                ),
            )
            for name, procedure in sorted(as_dict(document.get(key)).items())
        }
        for key in ("procedures", "callbacks")
    )
    whole: Json = {"procedures": {**procedures}, "callbacks": {**callbacks}}
    return Digests(_digest(whole), procedures, callbacks)


def _digest(value: Json) -> str:
    return hashlib.sha256(as_canonical_json(value).encode()).hexdigest()[:32]


class _Definitions:
    """The definitions of a protocol, with a digest for each.

    Args:
        definitions: The definitions.
        left_out: The keywords that mean nothing to messages.
    """

    def __init__(self, definitions: Mapping[str, Json], left_out: frozenset[str]) -> None:
        self._left_out: Final = left_out
        bare = {name: self._bare(schema) for name, schema in definitions.items()}
        self._digests: Final = {name: _digest(schema) for name, schema in bare.items()}
        self._next: Final = {name: set(_names_in(schema)) for name, schema in bare.items()}

    def digest_of(self, procedure: Mapping[str, Json], of_all: Json) -> str:
        """Return the digest of a procedure.

        Args:
            procedure: The procedure.
            of_all: The errors that the protocol declares for all procedures; None if they are not for this one.
        """
        slots = {slot: self._bare(procedure[slot]) for slot in _SLOTS if slot in procedure}
        if of_all is not None:
            slots["errors"] = self._bare(of_all)
        if any(is_dynamic(each) for each in slots.values()):
            waiting = {*self._next}  # what a $dynamicRef leads to depends on all definitions
        else:
            waiting = {name for schema in slots.values() for name in _names_in(schema)}
        needed: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in self._next and name not in needed:
                needed.add(name)
                waiting |= self._next[name]
        return _digest(
            {
                "type": procedure["type"],
                "idempotent": procedure.get("idempotent") is True,
                "slots": slots,
                "definitions": {name: self._digests[name] for name in needed},
            }
        )

    def _bare(self, schema: Json) -> Json:
        """Return a schema without documentation."""
        if not isinstance(schema, dict):
            return schema
        new = {
            key: value
            for key, value in schema.items()
            if key not in self._left_out and not key.startswith("x-")
        }
        for key, value in new.items():
            if key in DRAFT_2020_12.one:
                new[key] = self._bare(value)
            elif key in DRAFT_2020_12.listed and isinstance(value, list):
                new[key] = [self._bare(each) for each in value]
            elif key in DRAFT_2020_12.named and isinstance(value, dict):
                new[key] = {name: self._bare(each) for name, each in value.items()}
        return new


def _names_in(schema: Json) -> Iterator[str]:
    """Yield the definitions to which a schema refers, itself or in its subschemas."""
    if isinstance(schema, dict):
        target = schema.get("$ref")
        # A slot with a $dynamicRef is as it was written: its references may lead anywhere in it.
        if isinstance(target, str) and target.startswith("#/$defs/"):
            yield tokens(target.removeprefix("#"))[-1]
        for _, each in subschemas(schema, DRAFT_2020_12):
            yield from _names_in(each)
