"""Validation of examples, and the program of a process that validates: ``python -m enkaku_codegen.linting.example_process``.

It reads ``[SCHEMA, VALUE]`` from standard input, one pair a line, and writes what is wrong, a JSON string a line.
"""

import json
import sys
from contextlib import suppress
from typing import Final, TextIO

from jsonschema_rs import Draft202012Validator, ReferencingError, ValidationError

from enkaku_codegen.json_values import Json, exact_numbers, pointer, read_number

__all__ = ["UNSUPPORTED", "Checker", "main"]

UNSUPPORTED: Final = "unsupported"
"""The answer for a schema that the validator cannot read by itself."""


class Checker:
    """Validates values against a schema.

    Args:
        schema: The schema.
    """

    def __init__(self, schema: Json) -> None:
        self._validator: Draft202012Validator | None = None
        with suppress(ReferencingError, ValidationError, ValueError):
            self._validator = Draft202012Validator(exact_numbers(schema), validate_formats=False)

    def problem(self, value: Json) -> str:
        """Return what the schema has against a value; empty if nothing."""
        if self._validator is None:
            return UNSUPPORTED
        for error in self._validator.iter_errors(exact_numbers(value)):
            where = pointer(tuple(map(str, error.instance_path)))
            return f"{where}: {error.message:.200}" if where else f"{error.message:.200}"
        return ""


def main(questions: TextIO, answers: TextIO) -> None:
    """Answer questions until there are no more."""
    for line in questions:
        schema, value = json.loads(line, parse_float=read_number)
        print(json.dumps(Checker(schema).problem(value)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)
