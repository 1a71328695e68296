"""What a slot does wrong."""

import json
import time
from typing import Any, Final

import enkaku
from schema.values import same

__all__ = ["fault"]

_LONG: Final = 3.0  # seconds: many times of what the first use of any of these takes


def fault(slot: Any, text: str, value: Any, *, accepts: bool | None) -> tuple[str, str] | None:
    """Tell what a slot does wrong with an instance, if anything: in one word, and in several.

    Args:
        text: The instance.
        value: What it says.
        accepts: Whether its schema accepts it; None where that is open.
    """
    start = time.process_time()
    try:
        decoded = slot.decode(text.encode())
        refusal = None
    except enkaku.DecodeError as error:
        decoded, refusal = None, error
    except Exception as error:  # noqa: BLE001 - to be told
        return "decode raises", repr(error)
    took = time.process_time() - start
    if took > _LONG:
        return "slow", f"it takes {took:.1f} s to read, or to refuse"
    if refusal is not None:
        return ("refused", str(refusal)) if accepts else None
    return ("accepted", repr(decoded)) if accepts is False else _unlike(slot, decoded, value)


def _unlike(slot: Any, decoded: Any, value: Any) -> tuple[str, str] | None:
    """Tell what is wrong with how a slot writes what it read."""
    try:
        encoded = slot.encode(decoded)
        again = slot.encode(decoded)
    except Exception as error:  # noqa: BLE001 - to be told
        return "encode raises", f"{decoded!r}: {error!r}"
    if encoded != again:
        return "unsteady", f"{encoded!r}, then {again!r}"
    if not same(value, json.loads(encoded)):
        return "changed", f"comes back as {encoded.decode()}"
    return None
