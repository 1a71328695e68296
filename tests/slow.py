"""Parameters of a test that is slow with most of them: a few are for ``make test``, all for ``make test-all``."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest

__all__ = ["slow_but"]


def slow_but(quick: Collection[Any], parameters: Iterable[Any]) -> list[Any]:
    """Mark parameters as slow, but for some.

    Args:
        quick: Those that are not; where a parameter is a tuple, by the first value in it.
    """
    return [
        pytest.param(*each, marks=[] if each[0] in quick else pytest.mark.slow)
        for each in (each if isinstance(each, tuple) else (each,) for each in parameters)
    ]
