"""Original schemas of the slots with a ``$dynamicRef``, for the validator.

The target of a ``$dynamicRef`` depends on the schemas that lead to it. It would change if all references were by
name. So the validator gets such a schema as it was written, with all that it refers to, its URIs and its anchors.
"""

from collections.abc import Iterator
from typing import Final

from jsonschema_rs import ValidationError, validator_for

from enkaku_codegen.errors import ProtocolError
from enkaku_codegen.json_values import Json, Schema, Tokens

from .dialects import DRAFT_2020_12
from .library import Library
from .locations import Location
from .references import References
from .regexes import with_validator_patterns
from .schemas import subschemas

__all__ = ["DynamicSchemas"]

_OWN: Final = frozenset({"$defs", "$id", "definitions"})
_MOST: Final = 100_000


class DynamicSchemas:
    """The schemas of a protocol that have a ``$dynamicRef``.

    Args:
        library: Has the schemas, and takes the issues.
        references: Has followed them.
        definitions: The shared schemas of the protocol file.

    Attributes:
        originals: The shared definitions that the schemas of slots have needed, as they were written, by their keys.
    """

    def __init__(
        self, library: Library, references: References, definitions: list[Location]
    ) -> None:
        self.originals: dict[str, Json] = {}
        self._library = library
        self._count = 0
        self._dynamic = references.dynamic()
        self._definitions = (
            {location.path: location for location in definitions} if self._dynamic else {}
        )
        self._anchored = [
            root
            for root in self._definitions.values()
            if any("$dynamicAnchor" in schema for _, schema in self._within(root))
        ]

    def is_needed(self, location: Location) -> bool:
        """Return whether a schema, or one that it refers to, has a ``$dynamicRef``."""
        return location in self._dynamic

    def schema(self, slot: Location) -> Schema:
        """Return a slot's schema as it was written; add issues to the library.

        A schema without ``$defs`` and ``$id`` of its own gets the shared definitions that it needs.
        """
        value = slot.value
        if not isinstance(value, dict):
            return value is True
        dialect = self._library.dialects.get(slot, DRAFT_2020_12)
        whole: dict[str, Json] = {
            "$schema": f"https://{dialect.uri}",
            **self._translated(slot, value),
        }
        known = len(self._library.issues)
        shared = self._shared(slot, alone=bool(_OWN & value.keys()))
        if shared:
            whole["$defs"] = {each.path[-1]: self._for_validator(each) for each in shared}
        if len(self._library.issues) == known:
            self._compile(slot, whole)
            self.originals |= {each.path[-1]: each.value for each in shared}
        return whole

    def _for_validator(self, location: Location) -> Json:
        """Return a schema with its patterns, and those of all schemas in it, translated for the validator."""
        value = location.value
        return self._translated(location, value) if isinstance(value, dict) else value

    def _translated(self, location: Location, schema: dict[str, Json]) -> dict[str, Json]:
        new = dict(schema)
        dialect = self._library.dialects.get(location, DRAFT_2020_12)
        for path, _ in subschemas(schema, dialect):
            new[path[0]] = _replaced(
                new[path[0]], path[1:], self._for_validator(location.below(path))
            )
        return with_validator_patterns(new)

    def _shared(self, slot: Location, *, alone: bool) -> list[Location]:
        """Return the shared definitions that a schema needs, by name; empty if it must not use them."""
        roots = dict.fromkeys([slot] if alone else [slot, *self._anchored])
        waiting = [*roots]
        while waiting:
            for location, schema in self._within(waiting.pop()):
                self._count += 1
                if self._count > _MOST:
                    message = f"the schemas with $dynamicRef hold more than {_MOST} schemas"
                    raise ProtocolError([slot.document.issue(slot.path, message)])
                for keyword in ("$ref", "$dynamicRef"):
                    target = self._library.target(location, keyword) if keyword in schema else None
                    if target is None:
                        continue
                    root = self._root(target, slot)
                    if root is None or (alone and root != slot):
                        self._add_reference_issue(location.below((keyword,)), target)
                    elif root not in roots:
                        roots[root] = None
                        waiting.append(root)
        return sorted(
            (location for location in roots if location != slot), key=lambda location: location.path
        )

    def _root(self, target: Location, slot: Location) -> Location | None:
        """Return the slot or the shared definition around a schema."""
        if target.document is not slot.document:
            return None
        if target.path[: len(slot.path)] == slot.path:
            return slot
        return self._definitions.get(target.path[:2])

    def _add_reference_issue(self, location: Location, target: Location) -> None:
        self._library.add_issue(
            location,
            "expected a reference to a schema within the same slot, or, where that has no $id and no $defs, "
            f"within the $defs of the protocol file, since the slot uses $dynamicRef; got {target}",
        )

    def _within(self, root: Location) -> Iterator[tuple[Location, dict[str, Json]]]:
        """Yield a schema and all schemas in it, with their locations."""
        waiting = [root]
        while waiting:
            location = waiting.pop()
            schema = location.value
            if isinstance(schema, dict):
                yield location, schema
                dialect = self._library.dialects.get(location, DRAFT_2020_12)
                waiting += [location.below(path) for path, _ in subschemas(schema, dialect)]

    def _compile(self, slot: Location, schema: Schema) -> None:
        try:
            validator_for(schema, validate_formats=False, offline=True)
        except (ValidationError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            self._library.add_issue(slot, f"the validator rejects this schema: {reason}")


def _replaced(value: Json, path: Tokens, new: Json) -> Json:
    """Return a value with another in it replaced."""
    match value, path:
        case dict(), (key, *rest):
            return {**value, key: _replaced(value[key], tuple(rest), new)}
        case list(), (key, *rest):
            index = int(key)
            return [*value[:index], _replaced(value[index], tuple(rest), new), *value[index + 1 :]]
        case _:
            return new
