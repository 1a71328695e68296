"""Validates the structure of a protocol file against the meta-schema that ships with this package.

The schemas in the file are removed first: ``schemas.check`` checks each by itself.
"""

from functools import cache
from typing import Final

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from enkaku_codegen.json_values import Json, Tokens

from .options import OPTIONS, encoding_faults, format_faults
from .protocol_schema import read_meta_schema
from .simple_schema import as_dict
from .validation_text import explain

__all__ = ["error_faults", "faults", "is_document"]

_SLOTS: Final = ("data", "param", "send", "receive", "result")


@cache
def _validator(part: str) -> Validator:
    schema = read_meta_schema()
    return Draft202012Validator({"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]})


@cache
def _quick_validator(part: str) -> jsonschema_rs.Draft202012Validator:
    """Return a validator that is a hundred times as fast, and whose errors have other texts."""
    # The schemas in the file are removed, so that no metaschema is needed.
    definitions = {
        **as_dict(read_meta_schema()["$defs"]),
        "schema": {"type": ["object", "boolean"]},
    }
    return jsonschema_rs.Draft202012Validator({"$ref": f"#/$defs/{part}", "$defs": definitions})


def is_document(value: Json) -> bool:
    """Return whether a file is a document with ``procedures``, not a bare mapping of procedures."""
    return isinstance(value, dict) and bool(_validator("isDocument").is_valid(value))


def faults(value: Json) -> list[tuple[Tokens, str]]:
    """Return the errors in a protocol file, without those in its schemas."""
    if not isinstance(value, dict):
        return _explained("bare", value)
    if not is_document(value):
        misplaced = [name for name in OPTIONS if name in value and not _has_type(value[name])]
        stripped = {
            name: _without_subschemas(each) for name, each in value.items() if name not in misplaced
        }
        wrong: list[tuple[Tokens, str]] = [
            (
                (name,),
                'this option needs the key "procedures": put the procedures in it',
            )
            for name in misplaced
        ]
        if not stripped.keys() - {"$schema"}:
            return [*wrong, ((), "no procedures: expected one or more")]
        return [*_explained("bare", stripped), *wrong]
    stripped = dict(value)
    definitions = value.get("$defs")
    if isinstance(definitions, dict):
        # Of the many that are right, one is enough.
        wrong_ones = {
            name: each
            for name, each in definitions.items()
            if not name or not isinstance(each, dict | bool)
        }
        stripped["$defs"] = wrong_ones or dict.fromkeys([*definitions][:1], True)
    for key in ("procedures", "callbacks"):
        if isinstance(procedures := value.get(key), dict):
            stripped[key] = {name: _without_subschemas(each) for name, each in procedures.items()}
    if isinstance(stripped.get("errors"), dict):
        stripped["errors"] = {"$ref": ""}
    wrong = [
        ((option, *path), message)
        for option, find in (("formats", format_faults), ("encodings", encoding_faults))
        for path, message in find(stripped.pop(option, {}))
    ]
    return [*_explained("document", stripped), *wrong]


def error_faults(value: Json) -> list[tuple[Tokens, str]]:
    """Return the errors in an error declaration, without those in the declarations and data in it."""
    stripped = dict(value) if isinstance(value, dict) else {}
    branches, properties = stripped.get("anyOf"), stripped.get("properties")
    if isinstance(branches, list):
        stripped["anyOf"] = [{"$ref": ""} if isinstance(each, dict) else each for each in branches]
    elif isinstance(properties, dict) and isinstance(data := properties.get("data"), dict):
        shallow = {key: data[key] for key in ("type",) if key in data}
        stripped["properties"] = {**properties, "data": shallow}
    return _explained("error", stripped)


def _has_type(value: Json) -> bool:
    return isinstance(value, dict) and "type" in value


def _without_subschemas(procedure: Json) -> Json:
    """Return a procedure with each schema replaced by the simplest valid one."""
    if not isinstance(procedure, dict):
        return procedure
    stripped = {
        key: _without_schema(value) if key in _SLOTS else value for key, value in procedure.items()
    }
    if isinstance(stripped.get("error"), dict):
        stripped["error"] = {"$ref": ""}
    return stripped


def _without_schema(value: Json) -> Json:
    return True if isinstance(value, dict) else value


def _explained(part: str, value: Json) -> list[tuple[Tokens, str]]:
    if _is_surely_valid(part, value):
        return []
    errors = _validator(part).iter_errors(value)
    return list(dict.fromkeys(fault for error in errors for fault in explain(error)))


def _is_surely_valid(part: str, value: Json) -> bool:
    try:
        return _quick_validator(part).is_valid(value)
    except ValueError:  # a value that it cannot read
        return False
