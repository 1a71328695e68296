"""What a protocol file says, checked and free of references to other files.

Above it: names, models, rendering. Below it: ``load``, which reads files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["ErrorDefinition", "Json", "Kind", "Procedure", "Protocol", "Schema", "SlotName"]

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"
Schema: TypeAlias = "bool | dict[str, Json]"
Kind = Literal["event", "request", "stream", "channel"]
SlotName = Literal["data", "param", "send", "receive", "result"]


@dataclass(frozen=True, slots=True)
class ErrorDefinition:
    """An error that a procedure declares.

    Attributes:
        definition: The name in ``$defs`` if the declaration is a reference to it, else None.
        code: The code, or None where the declaration leaves it open.
        data: The schema of the error's data, or None where it declares none.
        description: What the declaration says of itself, ``""`` if nothing.
        pointer: Where it is declared, as a JSON pointer into the protocol file.
    """

    definition: str | None
    code: str | None
    data: Schema | None
    description: str
    pointer: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure: its kind, and a schema for each slot that it has.

    Attributes:
        slots: Only the slots that are declared, in the order data, param, send, receive, result.
        pointer: Where it is declared, as a JSON pointer into the protocol file.
    """

    name: str
    kind: Kind
    description: str
    slots: Mapping[SlotName, Schema]
    errors: tuple[ErrorDefinition, ...]
    pointer: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol whose every ``$ref`` is ``#/$defs/NAME`` with NAME in ``definitions``.

    Attributes:
        name: What the file calls itself, else the file's own name without its suffix.
        procedures: Sorted by name, so that the order in the file changes nothing.
        definitions: The shared schemas by name, sorted by name.
    """

    name: str
    description: str
    procedures: tuple[Procedure, ...]
    definitions: Mapping[str, Schema]
