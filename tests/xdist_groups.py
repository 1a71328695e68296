"""A plugin of pytest: ``pytest.mark.xdist_group`` works with pytest 9.2, too.

pytest-xdist 3.8 tells its processes apart from the group of a test by what it adds to the test's id, and sets that
where pytest 9.2 does not look any more. Without this, each process makes what only one of them is meant to make.
"""

from typing import Any

import pytest

__all__ = ["pytest_collection_modifyitems"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the names of the groups to the ids. Called by pytest."""
    if not config.getoption("loadgroup", default=False):  # pytest-xdist sets it in its processes
        return
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        if groups and not item.nodeid.endswith(f"@{'_'.join(groups)}"):
            known: Any = item
            known._id = type(known.id).parse(f"{item.nodeid}@{'_'.join(groups)}")
