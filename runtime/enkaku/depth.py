"""How deep a line of JSON is nested, told before it is parsed.

Above it: both ends of a connection. Below it: messages.
"""

import re
from typing import Final

from .errors import InvalidMessage
from .json_text import DEPTH_MAX
from .messages import glance_at

__all__ = ["require_depth"]

_ENVELOPE: Final = 2  # levels around a value: the line's object, and the payload
# Nothing is tried twice, nor remembered in order to be: a string without an end would be, from each of its quotes on.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)


def require_depth(line: bytes, depth: int) -> None:
    """Refuse a line in which a value has more than ``depth`` levels of arrays and objects.

    Args:
        line: One line, which need not be JSON.
        depth: The levels that are allowed. 200 is what the parsers allow by themselves: it costs nothing here.

    Raises:
        InvalidMessage: There are more.
    """
    if depth < DEPTH_MAX and _levels(line, depth + _ENVELOPE) > depth + _ENVELOPE:
        typ, rid = glance_at(line)
        reason = f"more than {depth} levels of arrays and objects are in one another"
        raise InvalidMessage(reason, typ=typ, rid=rid)


def _levels(line: bytes, most: int) -> int:
    """Count levels, as far as they can be told to be more than ``most``."""
    if line.count(b"[") + line.count(b"{") <= most:
        return 0  # so few brackets are not too many, however they stand
    level = 0
    for token in _TOKEN.finditer(line):
        first = line[token.start()]
        if first in b"[{":
            level += 1
            if level > most:
                break
        elif first in b"]}":
            level -= 1
    return level if level > most else 0
