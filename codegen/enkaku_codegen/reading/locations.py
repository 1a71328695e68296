"""Locations in files, and the resources that references start from."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from enkaku_codegen.json_values import Json, Tokens, find

from .load import Document

__all__ = ["Location", "Resource"]


@dataclass(frozen=True, slots=True)
class Location:
    """A location in a file."""

    document: Document
    path: Tokens

    def below(self, path: Tokens) -> "Location":
        """Return the location at a path from here."""
        return Location(self.document, self.path + path)

    @property
    def value(self) -> Json:
        """The value at the location."""
        return find(self.document.value, self.path)

    def __str__(self) -> str:
        return str(self.document.issue(self.path, ""))


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """A schema resource: a schema with a URI of its own, which ``#`` refers to in the references in it.

    Attributes:
        root: The location of the schema.
        uri: Its URI, the base of relative references.
        outer: The resource that is searched for what this one does not have.
        ids: The resources in the same schema, by URI.
        anchors: The schemas in it that have an anchor.
    """

    root: Location
    uri: str
    outer: "Resource | None" = None
    ids: dict[str, "Resource"] = field(default_factory=dict[str, "Resource"])
    anchors: dict[str, Location] = field(default_factory=dict[str, Location])

    def outwards(self) -> Iterator["Resource"]:
        """Yield the resource and those around it, innermost first."""
        resource: Resource | None = self
        while resource is not None:
            yield resource
            resource = resource.outer
