"""Overflow policies: what happens to an item that nobody has taken yet when the next one comes."""

from typing import Final, Literal, TypeAlias, get_args

__all__ = ["POLICIES", "WhenFull"]

WhenFull: TypeAlias = Literal["wait", "latest", "drop_oldest"]
"""What happens to a new item where nobody has taken the ones before it.

``"wait"``: its sender waits, and nothing is lost. ``"latest"``: only the newest item is kept. ``"drop_oldest"``:
as many as fit are kept, and the oldest go first. What was dropped is counted.
"""

POLICIES: Final[tuple[WhenFull, ...]] = get_args(WhenFull)
"""Each of them."""
