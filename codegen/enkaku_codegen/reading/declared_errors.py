"""Declared errors of a procedure: one, or several by ``anyOf``, inline or by ``$ref``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from enkaku_codegen.json_values import as_text, find, same

from .library import Library
from .locations import Location
from .metaschema import error_faults
from .references import References

__all__ = ["DeclaredError", "DeclaredErrors"]

_OWN: Final = re.compile(r"EKP?\d\d")


@dataclass(frozen=True, slots=True)
class DeclaredError:
    """An error object that a procedure declares.

    Attributes:
        location: The location of the object.
        declared_at: The location where the procedure declares it or refers to it.
        definition: The name of the definition that it is, or None.
        description: The description of the reference, else that of the object.
    """

    location: Location
    declared_at: Location
    definition: str | None
    description: str

    @property
    def data(self) -> Location | None:
        """The location of the schema of its data."""
        data = self.location.below(("properties", "data"))
        try:
            return data if data.value is not None else None
        except KeyError:
            return None

    @property
    def codes(self) -> list[str | None]:
        """Its codes; ``[None]`` if the declaration leaves the code open."""
        match find(self.location.value, ("properties", "code")):
            case {"const": str(code)}:
                return [code]
            case {"enum": list(codes)}:
                return [str(code) for code in codes]
            case _:
                return [None]


class DeclaredErrors:
    """The errors of all procedures of a protocol.

    Attributes:
        definitions: The locations of the definitions that errors refer to, by name.
    """

    def __init__(self, library: Library, references: References) -> None:
        self._library = library
        self._references = references
        self.definitions: dict[str, Location] = {}
        self._sound: dict[Location, bool] = {}

    def of(self, location: Location) -> list[DeclaredError]:
        """Return the errors that are declared at a location; add issues to the library."""
        found = list(self._found(location))
        known: set[str | None] = set()
        for error in found:
            for code in error.codes:
                if code is not None and _OWN.fullmatch(code):
                    message = f'the code "{code}" is one of Enkaku\'s own; choose another'
                    self._library.add_issue(error.declared_at, message)
                if code in known:
                    again = "an open code" if code is None else f'the code "{code}"'
                    self._library.add_issue(error.declared_at, f"{again} is declared twice")
                known.add(code)
        return found

    def others(self, own: list[DeclaredError], of_all: list[DeclaredError]) -> list[DeclaredError]:
        """Return the errors of all procedures that a procedure does not declare itself; add issues to the library."""
        of_own = {error.location for error in own}
        others = [error for error in of_all if error.location not in of_own]
        taken = {code for error in others for code in error.codes}
        for error in own:
            for code in taken.intersection(error.codes):
                again = "an open code" if code is None else f'the code "{code}"'
                message = f"{again} is declared for all procedures, too"
                self._library.add_issue(error.declared_at, message)
        return others

    def _found(self, start: Location) -> Iterator[DeclaredError]:
        waiting = [DeclaredError(start, start, None, "")]
        seen: set[Location] = set()
        while waiting:
            error = waiting.pop()
            location, value = error.location, error.location.value
            if location in seen:
                self._library.add_issue(
                    error.declared_at, "declares the same error twice, or itself"
                )
            if location in seen or not self._is_sound(location) or not isinstance(value, dict):
                continue
            seen.add(location)
            description = error.description or as_text(value.get("description"))
            match value:
                case {"anyOf": list(branches)}:
                    for index in reversed(range(len(branches))):
                        branch = location.below(("anyOf", str(index)))
                        declared_at = branch if error.declared_at == location else error.declared_at
                        waiting.append(DeclaredError(branch, declared_at, None, ""))
                case {"$ref": _}:
                    if (target := self._library.target(location)) is not None:
                        name = self._defined(target)
                        waiting.append(DeclaredError(target, error.declared_at, name, description))
                case _:
                    yield DeclaredError(location, error.declared_at, error.definition, description)

    def _is_sound(self, location: Location) -> bool:
        if location not in self._sound:
            wrong = error_faults(location.value)
            for path, message in wrong:
                self._library.add_issue(location.below(path), f"in an error declaration, {message}")
            self._sound[location] = not wrong
        return self._sound[location]

    def _defined(self, location: Location) -> str:
        name = self._references.name_of(location)
        first = self.definitions.setdefault(name, location)
        if first != location and not same(first.value, location.value):
            self._library.add_issue(
                location, f'another error is named "{name}", too: {first}; rename one'
            )
        return name
