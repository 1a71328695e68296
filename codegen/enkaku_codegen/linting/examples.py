"""Examples and defaults that their schemas reject, by the validator of the runtime.

A union that refers to itself can keep the validator busy for centuries, within a call that Python cannot interrupt. So
values that might take long are validated by ``example_process``, which ends at the time limit.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from jsonschema_rs import Draft202012Validator, ReferencingError, ValidationError

from enkaku_codegen.json_values import Json, Tokens, as_json, exact_numbers
from enkaku_codegen.reading.bundle import needed_definitions, without_annotations
from enkaku_codegen.reading.dialects import DRAFT_2020_12, IN_PLACE
from enkaku_codegen.reading.schemas import applied
from enkaku_codegen.reading.simple_schema import as_list
from enkaku_codegen.reading.validation_text import describe

from .example_process import UNSUPPORTED, Checker
from .rules import Hit
from .subject import Subject, TooSlow, Visited

__all__ = ["examples"]

_CHEAP: Final = 100_000  # steps of the validator
_ENDLESS: Final = 10**9
_DEEPEST: Final = 50
# -P: a file of the current directory must not take the place of a module.
_COMMAND: Final = (sys.executable, "-P", "-m", "enkaku_codegen.linting.example_process")


def examples(subject: Subject) -> Iterator[Hit]:
    """Yield the examples and defaults that their schemas reject."""
    costs = _Costs(subject)
    costly: list[tuple[Visited, Tokens, Json, Json]] = []
    for each in subject.visited:
        subject.limit.step()
        listed = as_list(each.schema.get("examples"))
        values: dict[Tokens, Json] = {
            ("examples", str(index)): value for index, value in enumerate(listed)
        }
        if "default" in each.schema:
            values[("default",)] = each.schema["default"]
        if not values:
            continue
        bundle = _bundle(each, subject)
        checker = Checker(bundle)
        for path, value in values.items():
            subject.limit.look()
            if costs.of(value) > _CHEAP:
                costly.append((each, path, value, bundle))
            else:
                yield from _hits(each, path, value, checker.problem(value), subject)
    if costly:
        answers = _answers([(bundle, value) for *_, value, bundle in costly], subject)
        for (each, path, value, _), answer in zip(costly, answers, strict=False):
            yield from _hits(each, path, value, answer, subject)
        if len(answers) < len(costly):
            raise TooSlow


def _hits(
    visited: Visited, path: Tokens, value: Json, reason: str, subject: Subject
) -> Iterator[Hit]:
    here = (*visited.path, *path)
    if reason == UNSUPPORTED:
        message = "it was not checked: the target of $dynamicRef depends on the schemas around it"
        yield Hit("incomplete", here, message)
    elif reason := reason or _format_problem(visited, subject, value):
        what = "default" if path == ("default",) else "example"
        message = f"the {what} {describe(value)} does not match its schema: {reason}"
        yield Hit("invalid-example", here, message)


def _bundle(visited: Visited, subject: Subject) -> Json:
    needed = needed_definitions(visited.schema, subject.protocol.definitions)
    definitions = {name: without_annotations(schema) for name, schema in needed.items()}
    return {"allOf": [without_annotations(visited.schema)], "$defs": {**definitions}}


def _answers(questions: Sequence[tuple[Json, Json]], subject: Subject) -> list[str]:
    """Return the answers of the process; fewer if the time was not enough."""
    lines = "".join(f"{as_json([*each])}\n" for each in questions)
    process = subprocess.Popen(  # noqa: S603 # this interpreter, and nothing of others
        _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        try:
            written, _ = process.communicate(
                lines.encode("utf-8", "surrogatepass"), timeout=subject.limit.left
            )
        except subprocess.TimeoutExpired:
            process.kill()
            written, _ = process.communicate()
    answers: list[str] = []
    with suppress(ValueError):  # the last line may be cut off
        answers.extend(str(json.loads(line)) for line in written.splitlines(keepends=True))
    return answers


def _format_problem(visited: Visited, subject: Subject, value: Json) -> str:
    """Return what is wrong with a string whose format the protocol selects a type for."""
    name = visited.schema.get("format")
    if not isinstance(name, str) or name not in subject.protocol.formats:
        return ""
    with suppress(ReferencingError, ValidationError, ValueError):
        if not Draft202012Validator({"format": name}, validate_formats=True).is_valid(
            exact_numbers(value)
        ):
            return f"not a {name}"
    return ""


class _Costs:
    """Upper bounds of the steps in which the validator validates values."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._known: dict[int, int] = {}
        self._most = max((self._of_schema(each.schema, 0) for each in subject.visited), default=1)

    def of(self, value: Json) -> int:
        """Return an upper bound for a value."""
        nodes, depth = _size(value)
        each: int = self._most ** min(depth, _DEEPEST)
        return nodes * min(each, _ENDLESS)

    def _of_schema(self, schema: Json, depth: int) -> int:
        """Return how many schemas apply to the same value as a schema, each as often as it does."""
        self._subject.limit.step()
        if not isinstance(schema, dict):
            return 1
        if depth > _DEEPEST:
            return _ENDLESS
        if id(schema) not in self._known:
            target = self._subject.target(schema)
            parts = [each for path, each in applied(schema, DRAFT_2020_12) if path[0] in IN_PLACE]
            inner = [*parts, *([] if target is None else [target[1]])]
            total = 1 + sum(self._of_schema(each, depth + 1) for each in inner)
            self._known[id(schema)] = min(total, _ENDLESS)
        return self._known[id(schema)]


def _size(value: Json) -> tuple[int, int]:
    """Return the number of values in a value, and how deep they are nested."""
    nodes, depth, level = 0, 0, [value]
    while level:
        nodes, depth = nodes + len(level), depth + 1
        below: list[Json] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        level = below
    return nodes, depth
