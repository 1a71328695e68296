"""Reference resolver: gives each schema that is referred to a name, and makes all references ``#/$defs/NAME``."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from enkaku_codegen.json_values import Json, Schema, Tokens, pointer, same

from .dialects import DRAFT_2020_12, HOLDERS, IN_PLACE
from .library import Library, class_name_in
from .load import Document
from .locations import Location
from .schemas import applied, rebuilt

__all__ = ["Package", "References"]

# Tokens of a path that a name leaves out, because they only say how a schema holds others.
_OMITTED: Final = HOLDERS | {"procedures", "properties"}


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was generated from another file.

    Attributes:
        module: Where it is imported from.
        definitions: The definitions whose types it has.
    """

    module: str
    definitions: Mapping[str, Schema]


class References:
    """The references of a protocol: their targets, and the targets' names.

    Args:
        library: Has the schemas, and takes the issues.
        main: The protocol's own file.
        package_of: Returns the package of a file whose types are imported; None for other files.

    Attributes:
        origins: The locations of the definitions by name, once ``definitions`` has returned them.
    """

    def __init__(
        self,
        library: Library,
        main: Document,
        package_of: Callable[[Document], Package | None],
    ) -> None:
        self._library = library
        self._main = main
        self._package_of = package_of
        self._seen: set[Location] = set()
        self._targets: dict[Location, Location] = {}
        self._names: dict[Location, str] = {}
        self._dynamic: set[Location] = set()
        self.origins: dict[str, Location] = {}

    def gather(self, location: Location) -> None:
        """Follow the references in a known schema, and those in their targets, recursively."""
        waiting = [location]
        while waiting:
            location = waiting.pop()
            schema = location.value
            if location in self._seen or not isinstance(schema, dict):
                continue
            self._seen.add(location)
            within = [path for path, _ in applied(schema, self._library.dialects[location])]
            waiting += [location.below(path) for path in reversed(within)]
            if "$dynamicRef" in schema:
                self._library.target(location, "$dynamicRef")  # adds an issue if there is no target
                self._dynamic.add(location)
            target = self._library.target(location)
            if target is not None:
                self._targets[location] = target
                self.name(target)
                self._require_type(location, target)
                waiting.append(target)

    def dynamic(self) -> frozenset[Location]:
        """Return the schemas that have a ``$dynamicRef``, themselves or through a reference."""
        around: dict[Location, list[Location]] = {}
        for location in self._seen if self._dynamic else ():
            schema = location.value
            if isinstance(schema, dict):
                for path, _ in applied(schema, self._library.dialects[location]):
                    around.setdefault(location.below(path), []).append(location)
        for location, target in self._targets.items():
            around.setdefault(target, []).append(location)
        found, waiting = set(self._dynamic), [*self._dynamic]
        while waiting:
            new = [location for location in around.get(waiting.pop(), ()) if location not in found]
            found.update(new)
            waiting += new
        return frozenset(found)

    def _require_type(self, location: Location, target: Location) -> None:
        """Add an issue if a reference leads to a file whose package has no type for it."""
        package = self._package_of(target.document)
        if package is None or location.document is target.document:
            return
        name = self._own_name(target)
        if name not in package.definitions:
            known = ", ".join(package.definitions) or "none"
            message = f'the package {package.module} has no type of "{name}"; it has {known:.200}'
            self._library.add_issue(location.below(("$ref",)), message)

    def name(self, location: Location) -> str:
        """Return the name of a schema, which makes the schema one of the definitions."""
        return self._names.setdefault(location, self.name_of(location))

    def name_of(self, location: Location) -> str:
        """Return the name that a schema has or would get: from ``$defs``, its file, or its path.

        A definition within a definition has the names of both. A name for Python goes before all. In a file whose types
        are imported, the name of the package precedes it.
        """
        package = self._package_of(location.document)
        name = self._own_name(location)
        return name if package is None else f"{package.module}.{name}"

    def _own_name(self, location: Location) -> str:
        wanted = class_name_in(location)
        if isinstance(wanted, str):
            return wanted
        path = location.path
        stem = PurePath(location.document.key).stem
        own: list[str] = []
        while len(path) > 1 and path[-2] in HOLDERS and path[-1]:
            path, own = path[:-2], [path[-1], *own]
        if own:
            return "/".join(own)
        start = max((at for at, token in enumerate(path) if token in HOLDERS), default=-1) + 1
        steps = [token for token in path[start:] if token not in _OMITTED]
        if not start and location.document is not self._main:
            steps.insert(0, stem)
        return "/".join(steps) or stem

    def definitions(self) -> Mapping[str, Schema]:
        """Return all schemas with a name, sorted by it; add issues to the library.

        Two schemas may have the same name if they are equal, or one only refers to the other, from another file.
        """
        origins = self.origins
        schemas: dict[str, Schema] = {}
        for location, name in sorted(self._names.items(), key=lambda item: (item[1], str(item[0]))):
            if self._is_alias(location):
                continue
            schema = self.resolved(location, as_definition=True)
            if name not in schemas:
                origins[name], schemas[name] = location, schema
            elif not same(schema, schemas[name]):
                self._library.add_issue(
                    location, f'another schema is named "{name}", too: {origins[name]}; rename one'
                )
        for name, path in _endless(schemas):
            self._library.add_issue(
                origins[name], f"refers to itself without end: {' -> '.join(path)}"
            )
        return schemas

    def _is_alias(self, location: Location) -> bool:
        """Return whether a definition only refers to another one of the same name."""
        name = self._names[location]
        first, seen = location, set[Location]()
        while location not in seen:
            target = self._targets.get(location)
            if target is None or self._names[target] != name:
                return location != first
            if self.resolved(location, as_definition=True) != {"$ref": _reference(name)}:
                return location != first
            seen.add(location)
            location = target
        return False

    def resolved(self, location: Location, *, as_definition: bool = False) -> Schema:
        """Return a schema in draft 2020-12 with all its references by name.

        Args:
            location: The location of the schema; ``gather`` has visited it.
            as_definition: Whether the schema itself is wanted where it has a name, not a reference to it.
        """
        schema = location.value
        if location in self._names and not as_definition:
            return {"$ref": _reference(self._names[location])}
        if not isinstance(schema, dict):
            return schema is True

        def below(path: Tokens, _: Schema) -> Schema:
            return self.resolved(location.below(path))

        new = rebuilt(schema, self._library.dialects.get(location, DRAFT_2020_12), below)
        if location in self._targets:
            new["$ref"] = _reference(self._names[self._targets[location]])
        return new


def _reference(name: str) -> str:
    return "#" + pointer(("$defs", name))


def _endless(schemas: Mapping[str, Schema]) -> Iterator[tuple[str, list[str]]]:
    """Yield the schemas that refer to themselves for the same value, each with the path back to it.

    A recursive tree is not one of them: it refers to itself for a part of its value.
    """
    names = {_reference(name): name for name in schemas}
    done: set[str] = set()
    for first in schemas:
        # Each step of the trail, with the steps that can follow it.
        trail = {first: _meant(schemas[first], names)} if first not in done else {}
        while trail:
            current = next(reversed(trail))
            following = next(trail[current], None)
            if following is None:
                done.add(current)
                del trail[current]
            elif following in trail:
                way = list(trail)
                yield following, [*way[way.index(following) :], following]
            elif following not in done:
                trail[following] = _meant(schemas[following], names)


def _meant(schema: Json, names: Mapping[str, str]) -> Iterator[str]:
    """Yield the definitions that apply to the same value as the schema."""
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference in names:
        yield names[reference]
    for path, below in applied(schema, DRAFT_2020_12):
        if path[0] in IN_PLACE:
            yield from _meant(below, names)
