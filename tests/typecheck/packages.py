"""What the type checkers are shown: packages that the tests generate, in one directory."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Final

from enkaku_codegen.generate import generate
from enkaku_codegen.reading.definition import Protocol
from generated.options import (
    defaults_protocol,
    formats_protocol,
    imports_protocol,
    recursive_protocol,
)
from generated.packages import put
from generated.positions import protocol as positions_protocol
from golden.refresh import IMPORTS
from golden.refresh import PACKAGES as GOLDEN
from real.collection import NAMES as COLLECTIONS
from real.collection import package_of
from schema import suite
from schema.fuzz.cases import generated, random_cases

__all__ = ["GOLDENS", "QUICK", "WRITERS"]

_CASES: Final = 60
_SEEDS: Final = range(3)

# Writes a package to a directory; another directory is shared by all processes of a test run.
Writer = Callable[[Path, Path], None]


def _copy(package: Path, directory: Path, _: Path) -> None:
    shutil.copytree(package, directory)


def _generate(make: Callable[[], Protocol], directory: Path, _: Path) -> None:
    put(generate(make(), source="protocol.json"), directory)


def _collection(name: str, directory: Path, shared: Path) -> None:
    _copy(package_of(name, shared), directory, shared)


def _random(seed: int, directory: Path, _: Path) -> None:
    cases = random_cases(Random(f"types.{seed}"), "draft2020-12", _CASES)
    with generated(cases) as (packages, _refusals):
        assert sum(len(each.cases) for each in packages) > _CASES / 2
        _gather((each.module for each in packages), directory)


def _suite(number: int, directory: Path, _: Path) -> None:
    with ExitStack() as stack:
        made = suite.packages(suite.BATCHES[number], stack, formatted=True).values()
        modules = dict.fromkeys(each for each in made if isinstance(each, ModuleType))
        assert modules
        _gather(modules, directory)


def _gather(modules: Iterable[ModuleType], directory: Path) -> None:
    """Copy packages into a package of their own: what one protocol could not hold together."""
    directory.mkdir()
    (directory / "__init__.py").touch()
    for number, module in enumerate(modules):
        assert module.__file__ is not None
        shutil.copytree(Path(module.__file__).parent, directory / f"part{number}")


_GOLDEN: Final = {
    **{path.name: path for path in sorted(GOLDEN.iterdir())},
    "trade": IMPORTS / "python" / "trade",
}
GOLDENS: Final = list(_GOLDEN)
WRITERS: Final[Mapping[str, Writer]] = {
    **{name: partial(_copy, path) for name, path in _GOLDEN.items()},
    "options_formats": partial(_generate, formats_protocol),
    "options_defaults": partial(_generate, defaults_protocol),
    "options_imports": partial(_generate, imports_protocol),
    "options_recursive": partial(_generate, recursive_protocol),
    "positions": partial(_generate, positions_protocol),
    **{f"random_{seed}": partial(_random, seed) for seed in _SEEDS},
    **{f"suite_{number}": partial(_suite, number) for number in range(len(suite.BATCHES))},
    **{f"real_{name}": partial(_collection, name) for name in COLLECTIONS},
}
"""By the names of the packages."""
QUICK: Final = {
    *GOLDENS,
    "options_formats",
    "options_defaults",
    "options_imports",
    "options_recursive",
    "random_0",
}
"""Those that take seconds, to generate and to check."""
