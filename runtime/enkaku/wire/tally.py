"""The values of a message, counted before it is decoded: what may take long is not decoded at all.

JSON need not be parsed for that. Without its strings, a message has a comma between any two values, and a bracket for each array
and object. So counting takes some passes over the bytes, each a function of C.
"""

from itertools import product
from typing import Final, NamedTuple

__all__ = ["VALUES_MAX", "Tally", "tally"]

_ARRAY: Final = 4  # as how many values an array counts
_OBJECT: Final = 8
_EXPONENT: Final = 2  # in addition to the number
_DIGITS: Final = 5  # the same; no float has so many
_LONG_NUMBER: Final = 24 * b"0"
_ALIKE: Final = bytes.maketrans(b"123456789.", b"0000000000")
_VALUE_MAX: Final = 80  # bytes of a number, with the white space around it, on average
_ESCAPES: Final = 6  # how many of them count as a value
_QUOTE: Final = ord('"')
_U: Final = ord("u")
_HIGH: Final = frozenset(
    b"%c%c" % each for each in product(b"dD", b"89abAB")
)  # of a pair of surrogates
_LOW: Final = frozenset(b"%c%c" % each for each in product(b"dD", b"cdefCDEF"))
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
        if raw.count(b"\\") > most * _ESCAPES:
            return None
        raw, surrogates, escapes = _without_escapes(raw)
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


def _without_escapes(raw: bytes) -> tuple[bytes, int, bool]:
    """Return a message without escaped quotes and backslashes, its escapes of lone surrogates, and whether it has any by number."""
    surrogates, escapes, follows_high = 0, False, False
    first, *pieces = raw.split(b"\\")
    kept, rest = [first], iter(pieces)
    for piece in rest:
        high, follows_high = follows_high, False
        if not piece:  # an escaped backslash
            kept.append(next(rest, b""))
        elif piece[0] == _QUOTE:
            kept.append(piece[1:])
        else:
            kept.append(piece)
            if piece[0] == _U:
                escapes = True
                if piece[1:3] in _HIGH:
                    surrogates += 1
                    follows_high = len(piece) == len(b"ud83d")  # another escape follows at once
                elif piece[1:3] in _LOW:
                    surrogates += -1 if high else 1
    return b"".join(kept), surrogates, escapes
