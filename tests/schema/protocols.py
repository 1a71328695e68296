"""Protocol files from plain data, and what is generated from them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from enkaku_codegen.reading.definition import read_protocol
from generated.packages import imported

__all__ = ["URIS", "document", "package"]

URIS = {
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
    "draft7": "http://json-schema.org/draft-07/schema#",
}
"""What ``$schema`` says, by draft."""


def document(
    draft: str, procedures: Mapping[str, Any], definitions: Mapping[str, Any]
) -> dict[str, Any]:
    """Make the content of a protocol file."""
    return {"$schema": URIS[draft], "$defs": dict(definitions), "procedures": dict(procedures)}


@contextmanager
def package(content: Mapping[str, Any], *, formatted: bool = True) -> Iterator[ModuleType]:
    """Write a protocol file, read it, and generate and import its package while the block lasts."""
    with TemporaryDirectory(prefix="enkaku-") as directory:
        path = Path(directory, "protocol.json")
        path.write_text(json.dumps(content), encoding="utf-8")
        with imported(read_protocol(path), Path(directory), formatted=formatted) as module:
            yield module
