"""Places in files, and the schemas that references start from."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from enkaku_codegen.json_values import Json, Tokens, find

from .load import Document

__all__ = ["Location", "Resource"]


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file."""

    document: Document
    path: Tokens

    def below(self, path: Tokens) -> "Location":
        """Return the place at a path from here."""
        return Location(self.document, self.path + path)

    @property
    def value(self) -> Json:
        """What stands there."""
        return find(self.document.value, self.path)

    def __str__(self) -> str:
        return str(self.document.issue(self.path, ""))


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """A schema with an address of its own: what ``#`` means to the references in it.

    Attributes:
        root: Where it begins.
        uri: Its address, which relative references start from.
        outer: Where to look for what it does not have itself.
        ids: The resources in the same tree of schemas, by address.
        anchors: The schemas in it that have a plain name.
    """

    root: Location
    uri: str
    outer: "Resource | None" = None
    ids: dict[str, "Resource"] = field(default_factory=dict[str, "Resource"])
    anchors: dict[str, Location] = field(default_factory=dict[str, Location])

    def outwards(self) -> Iterator["Resource"]:
        """Yield the resource and those around it."""
        resource: Resource | None = self
        while resource is not None:
            yield resource
            resource = resource.outer
