"""Base64url (RFC 4648, 5) and base58 with the alphabet of Bitcoin: the texts of signatures and of names of keys.

Decoding is strict, so that no two texts mean the same bytes, except for base64url with and without its padding.
"""

from base64 import urlsafe_b64encode
from binascii import a2b_base64
from typing import Final

__all__ = ["base64url_size", "from_base58", "from_base64url", "to_base58", "to_base64url"]

_TO_STANDARD: Final = bytes.maketrans(
    b"-_+/", b"+/!!"
)  # the characters of plain base64 are no base64url
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {char: value for value, char in enumerate(_ALPHABET)}


def to_base64url(data: bytes) -> str:
    """Return bytes as base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def base64url_size(size: int) -> int:
    """Return how many characters ``to_base64url`` returns for so many bytes."""
    return (4 * size + 2) // 3


def from_base64url(text: str) -> bytes:
    """Decode base64url, with all of its padding or none.

    Raises:
        ValueError: The text is not base64url, or the unused bits of its last character are not 0.
    """
    missing = -len(text) % 4
    if missing == 3 or (missing and text.endswith("=")):
        raise ValueError("not base64url")
    try:
        standard = text.encode("ascii").translate(_TO_STANDARD)
        data = a2b_base64(standard + missing * b"=", strict_mode=True)
    except ValueError:
        raise ValueError("not base64url") from None
    # Only the last character can have bits that are not used.
    rest = to_base64url(data[len(data) // 3 * 3 :])
    if not text.rstrip("=").endswith(rest):
        raise ValueError("not base64url")
    return data


def to_base58(data: bytes) -> str:
    """Return bytes as base58."""
    number = int.from_bytes(data)
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + digits


def from_base58(text: str, most: int = 64) -> bytes:
    """Decode base58.

    Args:
        text: The text.
        most: How many characters it may have, since the time to decode it grows with their square.

    Raises:
        ValueError: The text is not base58, or is longer.
    """
    if len(text) > most:
        raise ValueError("too long")
    number = 0
    for char in text:
        if char not in _DIGITS:
            raise ValueError("not base58")
        number = number * 58 + _DIGITS[char]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
