"""Registry of a protocol's files and schemas: it resolves references.

Each schema is registered with its location, its dialect and the resource around it, which anchors and relative
references start from. A reference to another file loads that file. Nothing is fetched from the network.
"""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from enkaku_codegen.errors import Issue, ProtocolError
from enkaku_codegen.json_values import Json, Tokens, pointer, tokens

from .dialects import DRAFT_2020_12, HOLDERS, Dialect, dialect_of
from .doubts import doubts, format_doubt
from .lenient import convert, has_old_ids, is_ignorable, read_as
from .lint import NAME_IN_PYTHON, holds_schemas, lint
from .load import Document, load
from .locations import Location, Resource
from .schemas import check, subschemas
from .validation_text import describe, nearest

__all__ = ["Library", "class_name_in"]

_MOST_ISSUES: Final = 1000
_VERY_ALIKE: Final = 0.85  # below, a keyword of another tool may be meant, such as tsType
_HOLDING: Final = [(holder,) for holder in HOLDERS]


def class_name_in(location: Location) -> Json:
    """Return the name in Python that a definition asks for; None if it asks for none, or is no definition."""
    if location.path and location.path[-2:-1] not in _HOLDING:
        return None
    schema = location.value
    return schema.get(NAME_IN_PYTHON) if isinstance(schema, dict) else None


def _is_class_name(name: Json) -> bool:
    if not isinstance(name, str) or not name.isidentifier():
        return False
    return unicodedata.is_normalized("NFKC", name) and (name[0].isupper() or name[0].istitle())


class _Enough(ProtocolError):
    """The maximum number of issues is reached; the rest of the protocol is not checked."""


class _DeadEnd(Exception):
    """A reference without a target; the argument is the reason."""


class Library:
    """The files of a protocol, and all schemas in them that are known.

    Args:
        lenient: Whether schemas in files that are no protocols may have keywords of other tools.
        formats: Whether the protocol selects Python types for formats, so that their names matter.
        alone: Whether no other file may be read.

    Attributes:
        issues: The errors in them; each call may add some.
        warnings: What is allowed in them, and probably not meant, without the keywords that were ignored.
        dialects: The dialect of each known schema.
        documents: The files, by every path that leads to one.
    """

    def __init__(
        self, *, lenient: bool = False, formats: bool = False, alone: bool = False
    ) -> None:
        self._alone = alone
        self._lenient = lenient
        self._formats = formats
        self._foreign: set[Document] = set()
        self._ignored: dict[tuple[Document, str], list[Location]] = {}
        self.issues: list[Issue] = []
        self.warnings: list[Issue] = []
        self.dialects: dict[Location, Dialect] = {}
        self.documents: dict[Path, Document] = {}
        self._homes: dict[Location, Resource] = {}
        self._files: dict[str, Resource | None] = {}
        self._holders: set[Location] = set()

    def add_issue(self, location: Location, message: str) -> None:
        """Add an error at a location.

        Raises:
            ProtocolError: There are more than a thousand issues.
        """
        if len(self.issues) > _MOST_ISSUES:
            raise _Enough(self.issues)
        self.issues.append(location.document.issue(location.path, message))

    def ignored(self) -> Iterator[Issue]:
        """Yield a warning for each keyword that was ignored in a file."""
        for (document, keyword), locations in self._ignored.items():
            others = len(locations) - 1
            more = f", here and at {others} other location{'s'[:others - 1]}" if others else ""
            hint = nearest(
                keyword, sorted(self.dialects[locations[0]].keywords), cutoff=_VERY_ALIKE
            )
            message = f'ignored the unknown keyword "{keyword}"{hint}{more}'
            yield document.issue((*locations[0].path, keyword), message)

    def add_file(self, document: Document) -> Resource:
        """Add a file, without its schemas."""
        uri = Path(document.key).as_uri()
        self._files[document.key] = file = Resource(Location(document, ()), uri)
        self.documents[document.path] = document
        return file

    def add(self, location: Location, home: Resource, dialect: Dialect) -> None:
        """Add a schema and all schemas in it, and check them."""
        waiting = [(location, location.value, home, dialect)]
        while waiting:
            location, schema, home, dialect = waiting.pop()
            if location in self.dialects:
                continue
            if isinstance(schema, dict):
                dialect = self._dialect(location, schema, dialect)
                if location.document in self._foreign:
                    root = location.document.value
                    old_ids = isinstance(root, dict) and has_old_ids(root.get("$schema"))
                    convert(schema, dialect, old_ids=old_ids)
                home = self._home(location, schema, home, dialect)
                for path, below in reversed(list(subschemas(schema, dialect))):
                    waiting.append((location.below(path), below, home, dialect))
                self._check(location, schema, dialect)
            self.dialects[location] = dialect
            self._homes[location] = home

    def _check(self, location: Location, schema: dict[str, Json], dialect: Dialect) -> None:
        """Add the issues of a schema, without those of the schemas in it."""
        may_hold = not location.path or location.path[-2:-1] in _HOLDING
        if may_hold and holds_schemas(schema, dialect, is_file=not location.path):
            self._holders.add(location)
            return
        found: set[Tokens] = set()
        if NAME_IN_PYTHON in schema and location.path[-2:-1] != ("properties",):
            wanted = class_name_in(location)
            if wanted is None:
                message = "belongs in the schema of a property, or in a definition"
                self.add_issue(location.below((NAME_IN_PYTHON,)), message)
            elif not _is_class_name(wanted):
                message = f'expected a name for a class, such as "Order", got {describe(wanted)}'
                self.add_issue(location.below((NAME_IN_PYTHON,)), message)
        is_foreign = location.document in self._foreign
        for path, message in lint(schema, dialect):
            found.add(path)
            if is_foreign and path == (path[0],) and is_ignorable(path[0], dialect):
                self._ignored.setdefault((location.document, path[0]), []).append(location)
            else:
                self.add_issue(location.below(path), message)
        for path, message in check(schema, dialect):
            if path not in found:
                self.add_issue(location.below(path), message)
        for path, message in doubts(location.document.value, location.path, dialect):
            if path not in found:
                self._warn(location.below(path), message)
        if self._formats and (doubt := format_doubt(schema)):
            self._warn(location.below(("format",)), doubt)

    def _warn(self, location: Location, message: str) -> None:
        self.warnings.append(location.document.issue(location.path, message))

    def _dialect(self, location: Location, schema: dict[str, Json], around: Dialect) -> Dialect:
        if "$schema" not in schema:
            return around
        dialect = dialect_of(schema["$schema"])
        if dialect is None and location.document in self._foreign:
            dialect = read_as(schema["$schema"])
        if dialect is None:
            self._add_dialect_issue(location, schema["$schema"])
        return dialect or around

    def file_dialect(self, file: Resource) -> Dialect:
        """Return the dialect of the schemas of a protocol file that have no ``$schema`` themselves."""
        value = file.root.value
        uri = value.get("$schema") if isinstance(value, dict) else None
        dialect = dialect_of(uri)
        # Any other URI is for editors, which take it for the schema of protocol files.
        if dialect is None and isinstance(uri, str) and "json-schema.org/draft" in uri:
            self._add_dialect_issue(file.root, uri)
        return dialect or DRAFT_2020_12

    def _add_dialect_issue(self, location: Location, uri: Json) -> None:
        known = "draft 2020-12 or draft-07 of JSON Schema"
        self.add_issue(location.below(("$schema",)), f"expected {known}, got {describe(uri)}")

    def _home(
        self, location: Location, schema: dict[str, Json], home: Resource, dialect: Dialect
    ) -> Resource:
        """Return the resource of a schema: a new one if it has an ``$id``, else that of the schema around it."""
        if dialect.ref_alone and "$ref" in schema:
            return home
        anchors = [schema.get("$anchor"), schema.get("$dynamicAnchor")]
        identity = schema.get("$id")
        if dialect.ref_alone:
            anchors = []
            if isinstance(identity, str) and identity.startswith("#"):
                anchors, identity = [identity[1:]], None
        if isinstance(identity, str):
            try:
                uri = urldefrag(urljoin(home.uri, identity)).url
            except ValueError as error:
                self.add_issue(location.below(("$id",)), f"not a URI: {error}")
            else:
                home = Resource(location, uri, outer=home, ids=home.ids)
                if home.ids.setdefault(uri, home) is not home:
                    self.add_issue(
                        location.below(("$id",)),
                        f"another schema has the $id {describe(identity)}",
                    )
        for anchor in anchors:
            if isinstance(anchor, str) and home.anchors.setdefault(anchor, location) != location:
                other = home.anchors[anchor]
                self.add_issue(location, f'duplicate anchor "{anchor}", also at {other}')
        return home

    def target(self, location: Location, keyword: str = "$ref") -> Location | None:
        """Return the schema that a reference of a known schema leads to; None, and an issue, if there is none.

        A ``$dynamicRef`` is resolved as if no schema around its own had the same anchor.
        """
        schema = location.value
        reference = schema.get(keyword) if isinstance(schema, dict) else None
        reference_location = location.below((keyword,))
        if not isinstance(reference, str):
            return None  # the check of the schema has added the issue
        try:
            found = self._lookup(self._homes[location], reference)
        except _Enough:
            raise
        except ProtocolError as error:  # in the file that it leads to
            for issue in error.issues:
                if issue.line is None:  # the file as a whole
                    self.add_issue(reference_location, f"{issue.file}: {issue.message}")
                else:
                    self.issues.append(issue)
            return None
        except _DeadEnd as error:
            self.add_issue(reference_location, f"{describe(reference)}: {error.args[0]}")
            return None
        except ValueError as error:
            self.add_issue(reference_location, f"{describe(reference)} is not a reference: {error}")
            return None
        return found

    def _lookup(self, home: Resource, reference: str) -> Location | None:
        url, fragment = urldefrag(reference)
        fragment = unquote(fragment, errors="strict")
        start = self._resource(home, url) if url else home
        if start is None:
            return None  # a file with issues of its own
        if fragment and not fragment.startswith("/"):
            for resource in start.outwards():
                if fragment in resource.anchors:
                    return resource.anchors[fragment]
            raise _DeadEnd(f'there is no anchor "{fragment}"')
        return self._admitted(start, tokens(fragment))

    def _resource(self, home: Resource, url: str) -> Resource | None:
        address = urljoin(home.uri, url)
        for resource in home.outwards():
            if address in resource.ids:
                return resource.ids[address]
        parts = urlsplit(url)
        if parts.scheme or parts.netloc or parts.query:
            raise _DeadEnd(
                "expected a reference within the file or a relative path: nothing is fetched from elsewhere"
            )
        if self._alone:
            raise _DeadEnd("expected a reference within the document: no file is read for it")
        here = home.root.document.path.parent
        path = here / unquote(parts.path, errors="strict")
        key = os.path.realpath(path)
        if key not in self._files:
            self._files[key] = None  # so that the issues of a file are reported once
            shorter = Path(os.path.normpath(path))
            self._add_schemas(load(shorter if os.path.realpath(shorter) == key else path))
        file = self._files[key]
        if file is not None:
            self.documents[path] = file.root.document
        return file

    def _add_schemas(self, document: Document) -> None:
        """Add a file that a reference leads to, and its schemas."""
        file = self.add_file(document)
        match document.value:
            case {"procedures": _, **others}:  # another protocol
                definitions = others.get("$defs")
                names = definitions if isinstance(definitions, dict) else {}
                dialect = self.file_dialect(file)
                for name, schema in names.items():
                    if isinstance(schema, dict | bool):
                        self.add(file.root.below(("$defs", name)), file, dialect)
            case dict() | bool():
                if self._lenient:
                    self._foreign.add(document)
                self.add(file.root, file, DRAFT_2020_12)
            case _:
                self.add_issue(file.root, f"expected a schema, got {describe(document.value)}")

    def _admitted(self, start: Resource, path: Tokens) -> Location:
        """Return the schema at a path from a resource, or from a resource around it."""
        for resource in start.outwards():
            location = resource.root.below(path)
            try:
                value = location.value
            except KeyError:
                continue
            self._known(location, value)
            return location
        raise _DeadEnd(f"there is no {pointer(path)} in {start.root.document.path}")

    def _known(self, location: Location, value: Json) -> None:
        """Register the value at a location as a schema if it can be one."""
        if not isinstance(value, dict | bool):
            raise _DeadEnd(f"expected a schema there, got {describe(value)}")
        for length in range(len(location.path), -1, -1):
            around = Location(location.document, location.path[:length])
            dialect = self.dialects.get(around)
            if dialect is None:
                continue
            if length == len(location.path) and location in self._holders:
                raise _DeadEnd("not a schema: only an object that holds other schemas")
            if length < len(location.path):
                # Below a keyword that the dialect does not have, any value may be a schema.
                if location.path[length] in dialect.keywords:
                    break
                self.add(location, self._homes[around], dialect)
            return
        raise _DeadEnd("not a schema: put a shared schema into $defs")
