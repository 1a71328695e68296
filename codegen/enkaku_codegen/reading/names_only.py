"""Names of the procedures of a protocol file, without checking it: for completion, which has 0.3 seconds.

A file that is being edited has errors. What precedes the first one is read all the same, if it is YAML.
"""

import json
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias, cast

__all__ = ["procedure_names"]

_Shallow: TypeAlias = dict[str, dict[str, object]]
"""The keys of a mapping, and of those in it; with the values of these, if they are scalars."""

_KINDS: Final = ("event", "request", "stream", "channel")
_EVENTS: Final = 50_000  # of a YAML file: to read them takes 0.1 s


def procedure_names(file: Path, content: str) -> set[str]:
    """Return the names of the procedures of a protocol file, as far as it can be read.

    Args:
        file: Its name says whether it is JSON.
        content: What it has.
    """
    tree = _read_json(content) if file.suffix.lower() == ".json" else _read_yaml(content)
    procedures = tree.get("procedures")
    if procedures is not None and procedures.get("type") not in _KINDS:
        return {*procedures}
    return {name for name, value in tree.items() if value.get("type") in _KINDS}


def _read_json(content: str) -> _Shallow:
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return {name: _mapping(each) for name, each in _mapping(value).items()}


def _mapping(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _read_yaml(content: str) -> _Shallow:
    import yaml  # noqa: PLC0415 # JSON does not need it

    tree: _Shallow = {}
    keys: list[str | None] = (
        []
    )  # of each open collection, the key whose value is read; None where a key comes next
    mappings: list[bool] = []  # which of them are mappings
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in islice(yaml.parse(content, Loader=loader), _EVENTS):
            if isinstance(event, yaml.CollectionStartEvent):
                keys.append(None)
                mappings.append(isinstance(event, yaml.MappingStartEvent))
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                keys.pop()
                mappings.pop()
            elif not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
                continue
            if not mappings or not mappings[-1]:
                continue
            scalar = event.value if isinstance(event, yaml.ScalarEvent) else ""
            if keys[-1] is not None:
                _add(tree, keys, mappings, scalar)
                keys[-1] = None
            else:
                keys[-1] = scalar
                _add(tree, keys, mappings, None)
    except (yaml.YAMLError, RecursionError):
        pass  # what was read before stays
    return tree


def _add(tree: _Shallow, keys: list[str | None], mappings: list[bool], value: str | None) -> None:
    """Add a key of the outer mapping, or of one in it, with its value."""
    first, *others = keys
    if first is not None and all(mappings) and len(others) <= 1:
        inner = tree.setdefault(first, {})
        if others and others[0] is not None:
            inner[others[0]] = value
