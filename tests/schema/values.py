"""JSON values: whether two are the same, and texts of one."""

import json
from random import Random
from typing import Any

__all__ = ["same", "spelled", "text_of"]

_SPELLINGS = ("{}.0", "{}e0", "{}E+0", "{}.00e00")


def same(given: Any, returned: Any) -> bool:
    """Tell whether what came back is the JSON value that was given.

    As in JSON Schema, 1 is 1.0 and is not true. A number without a fraction comes back exact, and so does
    one with, as a double.
    """
    match given, returned:
        case (bool() | None | str(), _) | (_, bool() | None | str()):
            return type(given) is type(returned) and given == returned
        case (int(), int()) | (float(), float()):
            return given == returned
        case (int(), float()):
            return given == returned and abs(given) <= 2**53
        case (float(), int()):
            return given == float(returned)
        case (list(), list()):
            return len(given) == len(returned) and all(map(same, given, returned))
        case (dict(), dict()):
            return given.keys() == returned.keys() and all(
                same(each, returned[key]) for key, each in given.items()
            )
        case _:
            return False


def text_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def spelled(value: Any, pick: Random) -> str:
    """Write a value as JSON, some numbers and some texts in one of their other forms."""
    match value:
        case bool() | None:
            return json.dumps(value)
        case int() if abs(value) < 2**53 and pick.random() < 0.05:
            return pick.choice(_SPELLINGS).format(value)
        case list():
            return f"[{','.join(spelled(each, pick) for each in value)}]"
        case dict():
            members = [f"{spelled(key, pick)}:{spelled(each, pick)}" for key, each in value.items()]
            return f"{{{', '.join(members)}}}"
        case _:
            return json.dumps(value, ensure_ascii=pick.random() < 0.5)
