"""Validation of a single value by one keyword, with the validator that runs at run time."""

import json
from functools import lru_cache

from jsonschema_rs import Draft202012Validator

from enkaku_codegen.json_values import Json
from enkaku_codegen.reading.regexes import with_validator_patterns

__all__ = ["fits"]


def fits(value: Json, keyword: str, asked: Json) -> bool:
    """Return whether a value matches a schema of one keyword, without subschemas."""
    return _fits(json.dumps(value), keyword, json.dumps(asked))


@lru_cache(maxsize=4096)
def _fits(value: str, keyword: str, asked: str) -> bool:
    schema = with_validator_patterns({keyword: json.loads(asked)})
    validator = Draft202012Validator(schema, validate_formats=False)
    return validator.is_valid(json.loads(value))
