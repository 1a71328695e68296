"""The values of a message, counted before it is decoded: what may take long is not decoded at all.

JSON need not be parsed for that. Without its strings, a message has a comma between any two values, and a bracket for each array
and object. So counting takes some passes over the bytes, each a function of C.
"""

import re
from typing import Final, NamedTuple

__all__ = ["VALUES_MAX", "Tally", "tally"]

_ARRAY: Final = 4  # as how many values an array counts
_OBJECT: Final = 8
_EXPONENT: Final = 2  # in addition to the number
_DIGITS: Final = 5  # the same; no float has so many
_LONG_NUMBER: Final = 24 * b"0"
_ALIKE: Final = bytes.maketrans(b"123456789.", b"0000000000")
_VALUE_MAX: Final = 80  # bytes of a number, with the white space around it, on average
_ESCAPES: Final = 6  # how many of them a message may have for each value; one by number counts as two
# The hexadecimal digits that tell the halves of a pair of surrogates: 8 stands for a high half, c and d for a low one.
_HALVES: Final = bytes.maketrans(b"D9abABcefCEF", b"d" + b"8" * 5 + b"c" * 6)
_PAIR: Final = re.compile(rb"\\ud8..\\ud[cd]")
VALUES_MAX: Final = 3
"""How many values a byte of a message has at most: an object and a comma in three bytes."""


class Tally(NamedTuple):
    """What makes a message take long to decode, without the contents of its strings.

    Attributes:
        arrays: How many arrays it has.
        objects: How many objects.
        commas: How many commas.
        surrogates: How many escapes of lone surrogates.
        numbers: How much its unusual numbers count: those with exponents, or with more digits than a float has.
        escapes: Whether a string has characters that are escaped by their numbers.
    """

    arrays: int
    objects: int
    commas: int
    surrogates: int
    numbers: int
    escapes: bool

    @property
    def values(self) -> int:
        """As how many values the message counts."""
        containers = self.arrays * _ARRAY + (self.objects + self.surrogates) * _OBJECT
        return self.commas + containers + self.numbers


def tally(raw: bytes, most: int) -> Tally | None:
    """Count the JSON values of a message without decoding it; it need not be JSON.

    An object counts as eight, since it takes as long to decode, and so does each escape of a lone surrogate. An array counts as
    four, 24 digits of a number that has at least as many as five, and a number with an exponent as three.

    Args:
        raw: The encoded message.
        most: How many values it may have.

    Returns:
        None if it has more.
    """
    surrogates, escapes = 0, False
    if b"\\" in raw:
        left = most * _ESCAPES - raw.count(b"\\")
        if left < 0:
            return None
        # A run of backslashes begins with an escape, so that the first two of them are one.
        raw = raw.replace(rb"\\", b"_").replace(rb"\"", b"_")
        by_number = raw.count(rb"\u")
        if by_number > left:
            return None
        escapes = by_number > 0
        surrogates = _lone_surrogates(raw) if escapes else 0
    # Each string is a value, or the name of one. Without so many, the message is split at them fast.
    if raw.count(b'"') > 4 * most + 2:
        return None
    text = b"".join(raw.split(b'"')[::2])  # outside of strings
    if len(text) > most * _VALUE_MAX:
        return None
    exponents = text.count(b"e") + text.count(b"E") - text.count(b"t") - text.count(b"f")
    digits = text.translate(_ALIKE).count(_LONG_NUMBER)
    numbers = max(exponents, 0) * _EXPONENT + digits * _DIGITS
    arrays, objects, commas = text.count(b"["), text.count(b"{"), text.count(b",")
    found = Tally(arrays, objects, commas, surrogates, numbers, escapes)
    return None if found.values > most else found


def _lone_surrogates(raw: bytes) -> int:
    """Return how many escapes of lone surrogates a message has, whose escaped backslashes were replaced."""
    if rb"\ud" not in raw and rb"\uD" not in raw:
        return 0
    halves = raw.translate(_HALVES)
    found = sum(map(halves.count, (rb"\ud8", rb"\udc", rb"\udd")))
    return found - 2 * len(_PAIR.findall(halves)) if found else 0
