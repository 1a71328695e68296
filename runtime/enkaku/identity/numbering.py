"""Ids of signed messages (``jti``) that are numbered: of a whole series, a receiver remembers little more than the greatest number."""

import re
import secrets
from collections.abc import Iterator
from itertools import count
from typing import Final, NamedTuple

__all__ = ["Numbered", "numbered_ids", "read_id"]

_ID: Final = re.compile(r"enkaku:([A-Za-z0-9_-]{16}):([0-9]{12})")


class Numbered(NamedTuple):
    """An id that is one of a series.

    Attributes:
        series: The name of the series, which is random.
        number: The number of the message, from 0.
    """

    series: str
    number: int


def numbered_ids() -> Iterator[str]:
    """Return the ids of a new series, in their order; each has 36 characters."""
    series = secrets.token_urlsafe(12)
    return (f"enkaku:{series}:{number:012}" for number in count())


def read_id(jti: str) -> Numbered | None:
    """Return an id's series and number; None if it is an id of another kind."""
    found = _ID.fullmatch(jti)
    return None if found is None else Numbered(found[1], int(found[2]))
