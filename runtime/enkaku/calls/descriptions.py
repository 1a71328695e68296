"""Descriptions of protocols: the reserved request ``enkaku:describe``, and what a generated package says of itself.

A generated package has a module ``description``, with its protocol as one document, and a digest of each procedure. It is imported only
where it is used. Two procedures with one digest have the same messages, so that a comparison need not read the documents.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, cast

from enkaku._json import load_text
from enkaku.errors import UsageError
from enkaku.procedures import Request
from enkaku.values.exact import ABSENT, Absent
from enkaku.values.model import Model
from enkaku.wire.messages import DESCRIBE

__all__ = [
    "DESCRIBE_REQUEST",
    "WITHOUT_PROTOCOL",
    "DescribeReply",
    "Description",
    "Digests",
    "Package",
    "digest_of",
    "package_of",
]

WITHOUT_PROTOCOL: Final[Mapping[str, object]] = {"protocol": False}
"""The param of who asks for digests alone."""

_PACKAGES: Final = 256  # that are kept


class Digests(Model):
    """The digest of each procedure by its name, and of each callback, which is a procedure that the server calls."""

    procedures: dict[str, str]
    callbacks: dict[str, str] | Absent = ABSENT


class DescribeReply(Model):
    """What a server replies that describes itself.

    Attributes:
        protocol: The protocol; absent if the caller has asked for digests alone.
        digest: That of the names and digests of all procedures and callbacks.
        digests: That of each of them.
        enkaku: The version of the server's runtime.
    """

    protocol: dict[str, object] | Absent = ABSENT
    digest: str
    digests: Digests
    enkaku: str


DESCRIBE_REQUEST: Final = Request[Mapping[str, object] | None, DescribeReply](
    DESCRIBE, param=dict[str, object] | None, result=DescribeReply
)


@dataclass(frozen=True, slots=True)
class Description:
    """What a server serves.

    Attributes:
        protocol: The protocol as one document, a protocol file without references to others, as JSON values: the procedures that
            the caller may call, and the definitions that these need.
        digest: Changes with the schemas of any procedure, and not with their documentation.
        enkaku: The version of the server's runtime.
    """

    protocol: Mapping[str, object]
    digest: str
    enkaku: str


class Package:
    """What a generated package says of itself.

    Args:
        name: The package.

    Attributes:
        procedures: The digest of each procedure, by its name.
        callbacks: The same of the procedures that the server calls.

    Raises:
        UsageError: It has no description: it was generated before there were any.
    """

    def __init__(self, name: str) -> None:
        module = f"{name}.description"
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise UsageError(
                f"the package {name} has no description: generate it again, with this version of enkaku"
            ) from None
        self.procedures: Final[Mapping[str, str]] = found.PROCEDURES
        self.callbacks: Final[Mapping[str, str]] = found.CALLBACKS
        self._text: Final[str] = found.PROTOCOL

    @cached_property
    def protocol(self) -> Mapping[str, object]:
        """The protocol as one document. It must not be changed."""
        return cast("Mapping[str, object]", load_text(self._text))


@lru_cache(_PACKAGES)
def package_of(name: str) -> Package:
    """Return what a generated package says of itself.

    Raises:
        UsageError: It says nothing.
    """
    return Package(name)


def digest_of(procedures: Mapping[str, str], callbacks: Mapping[str, str]) -> str:
    """Return the digest of a protocol, from those of its procedures and callbacks by their names."""
    whole = {"callbacks": dict(callbacks), "procedures": dict(procedures)}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
