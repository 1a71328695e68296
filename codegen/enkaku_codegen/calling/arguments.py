"""JSON values of command lines: ``--param JSON|@file|@-``, ``-p a.b=TEXT`` and ``-p a.b:=JSON``.

A number keeps the digits with which it was written: it is a ``Number`` here, and no Python number.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NoReturn, TypeAlias, cast

from enkaku_codegen.json_values import NUMBER, Json, Schema, kind_of, pointer

from .places import Places

__all__ = [
    "MISSING",
    "Assignment",
    "Missing",
    "Number",
    "Value",
    "assign",
    "read_assignment",
    "read_param",
    "write",
]


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number, as it was written."""

    text: str


Value: TypeAlias = "bool | Number | str | list[Value] | dict[str, Value] | None"
"""A JSON value."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """An argument ``-p``.

    Attributes:
        given: The argument, for errors.
        path: Where the value goes: names, indices, and None for a new item of an array. Empty for the whole param.
        value: The value of ``:=``; or the text of ``=``, whose type the schema says.
        typed: Whether it is the former.
    """

    given: str
    path: tuple[str | None, ...]
    value: Value
    typed: bool


_LONGEST: Final = 4300  # digits that a number may have, as for the runtime
_CHAR: Final = re.compile(r"\\.|.", re.DOTALL)
_INDEX: Final = re.compile("0|[1-9][0-9]{0,9}")


def _error(message: str) -> argparse.ArgumentError:
    return argparse.ArgumentError(None, message)


def read_value(text: str, where: str) -> "Value":
    """Read JSON.

    Args:
        text: The JSON.
        where: Where it was given, for errors.

    Raises:
        argparse.ArgumentError: It is not JSON, or has a name twice in an object.
    """
    try:
        return cast(
            "Value",
            json.loads(
                text,
                parse_int=_number,
                parse_float=_number,
                parse_constant=_reject,
                object_pairs_hook=_unique,
            ),
        )
    except RecursionError:
        raise _error(f"{where}: nested too deep") from None
    except ValueError as error:
        # The most likely mistake: the quotes of the string, which the shell has removed.
        hint = """; a string has its own quotes, as in '"text"'""" if text[:1].isalpha() else ""
        raise _error(f"{where}: not JSON: {error}{hint}") from None


def _number(text: str) -> Number:
    if len(text) > _LONGEST:
        raise ValueError(f"a number of more than {_LONGEST} digits")
    return Number(text)


def _reject(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(properties: list[tuple[str, Value]]) -> dict[str, Value]:
    value = dict(properties)
    if len(value) < len(properties):
        raise ValueError("a name is repeated in an object")
    return value


def write(value: "Value | Json") -> bytes:
    """Return compact JSON in UTF-8; a lone surrogate is escaped.

    Raises:
        argparse.ArgumentError: The value is nested too deep.
    """
    try:
        return _write(value).encode("utf-8", "backslashreplace")
    except RecursionError:
        raise _error("a value is nested too deep") from None


def _write(value: "Value | Json") -> str:
    match value:
        case Number():
            return value.text
        case dict():
            return (
                f"{{{','.join(f'{_write(name)}:{_write(each)}' for name, each in value.items())}}}"
            )
        case list():
            return f"[{','.join(map(_write, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def read_param(given: str) -> Value:
    """Read the value of ``--param``: JSON, or ``@FILE``, or ``@-`` for the standard input.

    Raises:
        argparse.ArgumentError: The file can't be read, or it is not JSON.
    """
    if not given.startswith("@"):
        return read_value(given, "--param")
    name = given[1:]
    where = "--param: standard input" if name == "-" else f"--param: {name}"
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return read_value(data.decode("utf-8-sig"), where)
    except OSError as error:
        raise _error(f"{where}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise _error(f"{where}: not UTF-8") from None


def read_assignment(given: str) -> Assignment:
    """Read an argument ``-p``: for ``type=`` of argparse.

    Raises:
        argparse.ArgumentTypeError: It has no ``=``, or an empty name.
    """
    names: list[list[str]] = [[]]  # the characters of each; those after a backslash have it still
    for match in _CHAR.finditer(given):
        char = match[0]
        if char == "=":
            break
        if char == ".":
            names.append([])
        else:
            names[-1].append(char)
    else:
        raise argparse.ArgumentTypeError(f"expected NAME=TEXT or NAME:=JSON, got {given!r}")
    text = given[match.end() :]
    typed = names[-1][-1:] == [":"]
    if typed:
        names[-1].pop()
    path = () if names == [[]] else tuple(_path(names, given))
    try:
        value = read_value(text, f"-p {given}") if typed else text
    except argparse.ArgumentError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Assignment(given, path, value, typed)


def _path(names: Iterable[list[str]], given: str) -> Iterator[str | None]:
    for index, name in enumerate(names):
        appends = name[-2:] == ["[", "]"]
        bare = name[:-2] if appends else name
        if bare:
            yield "".join(each[-1] for each in bare)
        elif not appends or index:
            raise argparse.ArgumentTypeError(f"an empty name in {given!r}")
        if appends:
            yield None


def assign(
    value: "Value | Missing",
    assignments: Iterable[Assignment],
    schema: Schema,
    places: Places,
) -> "Value | Missing":
    """Return a param with assignments, made in their order.

    Args:
        value: The param before, which is changed.
        assignments: The assignments.
        schema: The schema of the param.
        places: Finds the schemas of the places in it.

    Raises:
        argparse.ArgumentError: There is something else at a place already, or an array has fewer items.
    """
    for each in assignments:
        value = _set(value, each, 0, schema, places)
    return value


class Missing(Enum):
    """What there is where no value is."""

    MISSING = 0


MISSING: Final = Missing.MISSING


def _set(
    value: "Value | Missing", assignment: Assignment, depth: int, schema: Schema, places: Places
) -> Value:
    if depth == len(assignment.path):
        if assignment.typed:
            return assignment.value
        return _typed(cast("str", assignment.value), schema, places)
    token = assignment.path[depth]
    if value is MISSING:
        value = [] if token is None or _is_index(token, schema, places) else {}
    known = _known(value)
    if isinstance(value, dict) and token is not None:
        below = places.below(schema, token, known)
        inner = value.get(token, MISSING)
        value[token] = _set(inner, assignment, depth + 1, below, places)
    elif isinstance(value, list):
        index = len(value) if token is None else _index(token, len(value), assignment)
        below = places.below(schema, index, known)
        inner = value[index] if index < len(value) else MISSING
        value[index : index + 1] = [_set(inner, assignment, depth + 1, below, places)]
    else:
        where = _pointer(assignment, depth) or "the param"
        wanted = "an array" if token is None else "an object"
        raise _error(f"-p {assignment.given}: expected {wanted} at {where}, got {_kind(value)}")
    return value


def _is_index(token: str, schema: Schema, places: Places) -> bool:
    types = places.types(schema)
    return token.isdecimal() and "array" in types and "object" not in types


def _index(token: str, length: int, assignment: Assignment) -> int:
    if not _INDEX.fullmatch(token):
        raise _error(f"-p {assignment.given}: expected an index or [], got {token!r}")
    index = int(token)
    if index > length:
        message = f"-p {assignment.given}: the next item of the array has the index {length}"
        raise _error(message)
    return index


def _pointer(assignment: Assignment, depth: int) -> str:
    return pointer(tuple("-" if each is None else each for each in assignment.path[:depth]))


def _kind(value: Value) -> str:
    return "number" if isinstance(value, Number) else kind_of(cast("Json", value))


def _known(value: Value) -> Json:
    """Return the strings and booleans of an object, which may be constants of an alternative."""
    if not isinstance(value, dict):
        return None
    return {name: each for name, each in value.items() if isinstance(each, str | bool)}


def _typed(text: str, schema: Schema, places: Places) -> Value:
    """Return the value that a text stands for.

    It is the first of these that the schema allows: a string that is one of its constants; null, true or false; a number;
    a string. It is a string if the schema allows every type, or none of these.
    """
    if text in places.constants(schema):
        return text
    types = places.types(schema)
    if types == places.all_types:
        return text
    if text == "null" and "null" in types:
        return None
    if text in {"true", "false"} and "boolean" in types:
        return text == "true"
    if "number" in types and len(text) <= _LONGEST and NUMBER.fullmatch(text):
        return Number(text)
    return text
