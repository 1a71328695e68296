"""What a slot does wrong."""

import json
from typing import Any

import enkaku
from schema.values import same

__all__ = ["fault"]


def fault(slot: Any, text: str, value: Any, *, accepts: bool | None) -> tuple[str, str] | None:
    """Tell what a slot does wrong with an instance, if anything: in one word, and in several.

    Args:
        text: The instance.
        value: What it says.
        accepts: Whether its schema accepts it; None where that is open.
    """
    try:
        decoded = slot.decode(text.encode())
    except enkaku.DecodeError as error:
        return ("refused", str(error)) if accepts else None
    except Exception as error:  # noqa: BLE001 - to be told
        return "decode raises", repr(error)
    if accepts is False:
        return "accepted", repr(decoded)
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
