"""JSON values: whether two are the same, and texts of one."""

import json
import math
from decimal import Decimal
from random import Random
from typing import Any

from enkaku._json import dump_text

__all__ = ["same", "spelled", "text_of"]

_SPELLINGS = ("{}.0", "{}e0", "{}E+0", "{}.00e00")
_TAILS = ("00", "00000000000000000000001", "99999999999999999999999", "0e-400", "000000001")


def same(given: Any, returned: Any) -> bool:
    """Tell whether what came back is the JSON value that was given.

    As in JSON Schema, 1 is 1.0 and is not true. A number without a fraction comes back exact, and so does
    one with, as a double: one that is nearest, or next to it.
    """
    match given, returned:
        case (bool() | None | str(), _) | (_, bool() | None | str()):
            return type(given) is type(returned) and given == returned
        case (int(), int()) | (float(), float()):
            return given == returned
        case (Decimal(), int() | float()):
            return (
                math.nextafter(float(given), -math.inf)
                <= returned
                <= math.nextafter(float(given), math.inf)
            )
        case (int(), float()):
            return given == Decimal(repr(returned))
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
    return dump_text(value)  # the standard library writes no Decimals


def spelled(value: Any, pick: Random) -> str:
    """Write a value as JSON, some numbers and some texts in one of their other forms, and some numbers a little off."""
    match value:
        case bool() | None:
            return json.dumps(value)
        case int() if pick.random() < 0.05:
            return pick.choice(_SPELLINGS).format(value)
        case int() if pick.random() < 0.02:
            return f"{value}.{pick.choice(_TAILS)}"
        case float() if "e" not in repr(value) and pick.random() < 0.05:
            return repr(value) + pick.choice(_TAILS)
        case list():
            return f"[{','.join(spelled(each, pick) for each in value)}]"
        case dict():
            members = [f"{spelled(key, pick)}:{spelled(each, pick)}" for key, each in value.items()]
            return f"{{{', '.join(members)}}}"
        case _:
            return json.dumps(value, ensure_ascii=pick.random() < 0.5)
