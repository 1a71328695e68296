"""Finds the errors that a procedure declares: one, or several by ``anyOf``, there or by ``$ref``."""

from collections.abc import Iterator
from dataclasses import dataclass

from enkaku_codegen.jsontree import as_text, find, same

from .library import Library
from .locations import Spot
from .metaschema import error_faults
from .references import References

__all__ = ["DeclaredError", "DeclaredErrors"]


@dataclass(frozen=True, slots=True)
class DeclaredError:
    """An error object that a procedure declares.

    Attributes:
        spot: Where the object is.
        place: Where the procedure declares it or refers to it.
        definition: The name of the definition that it is, or None.
        description: What it, or the reference to it, says of it.
    """

    spot: Spot
    place: Spot
    definition: str | None
    description: str

    @property
    def data(self) -> Spot | None:
        """Where the schema of its data is."""
        data = self.spot.below(("properties", "data"))
        try:
            return data if data.value is not None else None
        except KeyError:
            return None

    @property
    def codes(self) -> list[str | None]:
        """Its codes; None alone if it leaves the code open."""
        match find(self.spot.value, ("properties", "code")):
            case {"const": str(code)}:
                return [code]
            case {"enum": list(codes)}:
                return [str(code) for code in codes]
            case _:
                return [None]


class DeclaredErrors:
    """The errors of all procedures of a protocol.

    Attributes:
        definitions: Where the definitions are that errors refer to, by name.
    """

    def __init__(self, library: Library, references: References) -> None:
        self._library = library
        self._references = references
        self.definitions: dict[str, Spot] = {}
        self._sound: dict[Spot, bool] = {}

    def of(self, spot: Spot) -> list[DeclaredError]:
        """Give the errors that are declared at a place; issues go to the library."""
        found = list(self._found(spot))
        known: set[str | None] = set()
        for error in found:
            for code in error.codes:
                if code in known:
                    again = "an open code" if code is None else f'the code "{code}"'
                    self._library.note(error.place, f"{again} is declared twice")
                known.add(code)
        return found

    def _found(self, start: Spot) -> Iterator[DeclaredError]:
        waiting = [DeclaredError(start, start, None, "")]
        seen: set[Spot] = set()
        while waiting:
            error = waiting.pop()
            spot, value = error.spot, error.spot.value
            if spot in seen:
                self._library.note(error.place, "declares the same error twice, or itself")
            if spot in seen or not self._is_sound(spot) or not isinstance(value, dict):
                continue
            seen.add(spot)
            description = error.description or as_text(value.get("description"))
            match value:
                case {"anyOf": list(branches)}:
                    for index in reversed(range(len(branches))):
                        branch = spot.below(("anyOf", str(index)))
                        place = branch if error.place == spot else error.place
                        waiting.append(DeclaredError(branch, place, None, ""))
                case {"$ref": _}:
                    if (target := self._library.target(spot)) is not None:
                        name = self._defined(target)
                        waiting.append(DeclaredError(target, error.place, name, description))
                case _:
                    yield DeclaredError(spot, error.place, error.definition, description)

    def _is_sound(self, spot: Spot) -> bool:
        if spot not in self._sound:
            wrong = error_faults(spot.value)
            for path, message in wrong:
                self._library.note(spot.below(path), f"in an error declaration, {message}")
            self._sound[spot] = not wrong
        return self._sound[spot]

    def _defined(self, spot: Spot) -> str:
        name = self._references.name_of(spot)
        first = self.definitions.setdefault(name, spot)
        if first != spot and not same(first.value, spot.value):
            self._library.note(spot, f'another error is named "{name}", too: {first}; rename one')
        return name
