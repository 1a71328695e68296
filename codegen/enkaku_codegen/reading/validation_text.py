"""Validation messages: what jsonschema found wrong, as text for users."""

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final, cast

from jsonschema import ValidationError

from enkaku_codegen.json_values import Json, LongNumber, Tokens, as_json

__all__ = ["describe", "explain", "nearest", "severed"]

_TYPES: Final = {
    "array": "an array",
    "boolean": "a boolean",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}
# Names in earlier drafts of keys of a protocol file.
_NOW: Final = {"definitions": "$defs"}
# Messages for keys that are allowed elsewhere.
_ELSEWHERE: Final = {"idempotent": "only a request can be idempotent"}
_TEXTS: Final = frozenset({"$comment", "description", "title"})
_EXPECTED: Final = {
    "const": "{}",
    "exclusiveMinimum": "more than {}",
    "maxItems": "at most {} items",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "minLength": "at least {} characters",
    "minProperties": "at least {} property",
    "minimum": "{} or more",
    "pattern": "a string that matches {}",
    "uniqueItems": "no item twice",
}


def describe(value: object) -> str:
    """Return a value for a message: a short one as JSON, any other by its type."""
    match value:
        case dict():
            return "an object" if value else "an empty object"
        case list():
            return "an array" if value else "an empty array"
        case str() if len(value) > 60:
            return json.dumps(value[:57] + "...", ensure_ascii=False)
        case int() if not isinstance(value, bool) and abs(value) > 10**60:
            return "a very large number"
        case LongNumber():
            return as_json(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return `` (did you mean "param"?)`` if a known word is similar, else an empty string."""
    near = _near(word, known, cutoff)
    return f' (did you mean "{near}"?)' if near else ""


def _near(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    short = (each for each in known if len(each) <= 100)
    return next(iter(get_close_matches(word[:100], list(short)[:100], n=1, cutoff=cutoff)), None)


def severed(properties: Mapping[str, object], key: str) -> str:
    """Return a hint if a key has no value: it may be the rest of a string that YAML ends at a comma.

    Returns:
        Such as `` without a value: a string with a comma needs quotes, "now, or later"``; empty if it has a value.
    """
    if properties[key] is not None:
        return ""
    keys = [*properties]
    end = keys.index(key)
    start = next((at for at in range(end, -1, -1) if properties[keys[at]] is not None), end)
    text = properties[keys[start]]
    pieces = [text, *keys[start + 1 : end + 1]] if keys[start] in _TEXTS else ["now", "or later"]
    whole = json.dumps(", ".join(map(str, pieces)), ensure_ascii=False)
    return f" without a value: a string with a comma needs quotes, {whole}"


def explain(error: ValidationError) -> Iterator[tuple[Tokens, str]]:
    """Yield each error in an error of jsonschema, with its path below the checked value."""
    path = tuple(str(token) for token in error.absolute_path)
    found: object = error.instance
    wanted: object = error.validator_value
    match error.validator:
        case "additionalProperties" if wanted is False:
            schema = cast("Mapping[str, object]", error.schema)
            known = cast("Mapping[str, object]", schema.get("properties", {}))
            for key in cast("Mapping[str, object]", found):
                if key not in known and not key.startswith("x-"):
                    cut = severed(cast("Mapping[str, object]", found), key)
                    yield (*path, key), f'unknown key "{key}"{cut}' if cut else _unknown(key, known)
        case "required":
            missing = error.message.rpartition(" is a required property")[0].strip("'")
            schema = cast("Mapping[str, Mapping[str, object]]", error.schema)
            known = schema.get("properties", {})
            near = _near(
                missing, (key for key in cast("Mapping[str, object]", found) if key not in known)
            )
            hint = f', there is "{near}"' if near else ""
            asked = cast("Mapping[str, object]", known.get(missing, {}))
            if not near and "const" in asked:
                hint = f": expected {describe(asked['const'])}"
            yield path, f'"{missing}" is missing{hint}'
        case "not" if "propertyNames" in error.absolute_schema_path:
            message = 'the prefix "enkaku:" is reserved for the procedures of Enkaku itself'
            yield (*path, str(found)), message
        case _ if "propertyNames" in error.absolute_schema_path:
            yield (*path, str(found)), f"{_expectation(error)} as name"
        case "anyOf" | "oneOf" if error.context:
            yield from explain(_best(error.context))
        case _:
            yield path, f"{_expectation(error)}, got {describe(found)}"


def _unknown(key: str, known: Iterable[str]) -> str:
    if key in _ELSEWHERE:
        return f'unknown key "{key}": {_ELSEWHERE[key]}'
    hint = nearest(_NOW.get(key, key), known)
    return f'unknown key "{key}"' + (hint or f": expected one of {_listed(sorted(known))}")


def _expectation(error: ValidationError) -> str:
    keyword, wanted = str(error.validator), cast("Json", error.validator_value)
    match wanted:
        case list() if keyword == "enum":
            hint = (
                nearest(error.instance, map(str, wanted)) if isinstance(error.instance, str) else ""
            )
            return f"expected one of {_listed(wanted)}{hint}"
        case str() | list() if keyword == "type":
            names = [wanted] if isinstance(wanted, str) else wanted
            return f"expected {' or '.join(_TYPES[str(name)] for name in names)}"
        case dict() if keyword == "contains":
            return f"expected an array with {describe(wanted.get('const'))} in it"
        case _ if keyword in _EXPECTED:
            text = f"expected {_EXPECTED[keyword].format(describe(wanted))}"
            return text.replace(" 1 items", " 1 item").replace(" 1 characters", " 1 character")
        case _:
            return f"expected what {keyword} allows"


def _listed(values: Iterable[Json]) -> str:
    return ", ".join(map(describe, values))


def _best(branches: list[ValidationError]) -> ValidationError:
    """Return the error of the branch that was probably meant: of the value's type, and wrong only deep inside."""
    return max(branches, key=lambda error: (error.validator != "type", len(error.path)))
