"""Meta-schema of protocol files: where it is, and its URI. Needs the standard library alone."""

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, cast

from enkaku_codegen.json_values import Json

__all__ = ["META_SCHEMA", "PROTOCOL_URI", "names_protocol_schema", "read_meta_schema"]

META_SCHEMA: Final[Traversable] = files("enkaku_codegen") / "protocol.schema.json"
"""The JSON Schema of protocol files, for editors, too."""

PROTOCOL_URI: Final = "urn:enkaku:protocol:1"
"""The ``$id`` of the meta-schema. Its number rises when files that were valid become invalid, or mean something else."""

_FAMILY: Final = PROTOCOL_URI.rstrip("0123456789")


def read_meta_schema() -> dict[str, Json]:
    """Return the JSON Schema of protocol files, of draft 2020-12."""
    return cast("dict[str, Json]", json.loads(META_SCHEMA.read_text(encoding="utf-8")))


def names_protocol_schema(uri: Json) -> bool:
    """Return whether a ``$schema`` names the meta-schema, in this version or another."""
    return isinstance(uri, str) and uri.startswith(_FAMILY)
