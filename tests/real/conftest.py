"""One collection of real schemas is imported at a time."""

from collections.abc import Iterator

import pytest
from once import shared_directory
from real.collection import NAMES, Collection, chosen, opened


@pytest.fixture(scope="session", params=chosen(NAMES))
def collection(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collection]:
    with opened(request.param, shared_directory(tmp_path_factory)) as collection:
        yield collection
