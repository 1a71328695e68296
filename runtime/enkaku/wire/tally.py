"""The values of a message, counted before it is decoded: what may take long is not decoded at all.

JSON need not be parsed for that. Without its strings, a message has a comma between any two values, and a bracket for each array
and object. So counting takes some passes over the bytes, each a function of C.
"""

import re
from typing import Final, NamedTuple

__all__ = ["VALUES_MAX", "Plain", "Tally", "count", "plain", "tally"]

_ARRAY: Final = 4  # as how many values an array counts
_OBJECT: Final = 8
_EXPONENT: Final = 2  # in addition to the number
_DIGITS: Final = 5  # the same; no float has so many
_LONG_NUMBER: Final = 24 * b"0"
_ALIKE: Final = bytes.maketrans(b"123456789.", b"0000000000")
_VALUE_MAX: Final = 80  # bytes of a number, with the white space around it, on average
_ESCAPES: Final = (
    6  # how many of them a message may have for each value; one by number counts as two
)
_SURROGATE: Final = re.compile(
    rb"\\u[dD](?:[89abAB]..(\\u[dD][c-fC-F])?|[c-fC-F])"
)  # one, or a pair
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


class Plain(NamedTuple):
    """A message without what could be taken for the end of a string.

    Attributes:
        raw: The message, without escaped quotes and backslashes.
        by_number: How many characters are escaped by their numbers.
    """

    raw: bytes
    by_number: int


def plain(raw: bytes, most: int) -> Plain | None:
    """Prepare a message for ``count``; None if it has too many escapes for a message of ``most`` values."""
    if b"\\" not in raw:
        return Plain(raw, 0)
    left = most * _ESCAPES - raw.count(b"\\")
    if left < 0:
        return None
    # A run of backslashes begins with an escape, so that the first two of them are one.
    raw = raw.replace(rb"\\", b"_").replace(rb"\"", b"_")
    by_number = raw.count(rb"\u")
    return None if by_number > left else Plain(raw, by_number)


def count(message: Plain, most: int) -> Tally | None:
    """Count the JSON values of a message without decoding it; it need not be JSON.

    An object counts as eight, since it takes as long to decode, and so does each escape of a lone surrogate. An array counts as
    four, 24 digits of a number that has at least as many as five, and a number with an exponent as three.

    Args:
        message: The encoded message.
        most: How many values it may have.

    Returns:
        None if it has more.
    """
    raw, by_number = message
    surrogates = _SURROGATE.findall(raw).count(b"") if by_number else 0
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
    found = Tally(arrays, objects, commas, surrogates, numbers, by_number > 0)
    return None if found.values > most else found


def tally(raw: bytes, most: int) -> Tally | None:
    """Do what ``plain`` and ``count`` do: of a huge message, each of them takes long."""
    message = plain(raw, most)
    return None if message is None else count(message, most)
