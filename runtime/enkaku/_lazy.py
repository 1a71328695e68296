"""Lazy attributes of a package (PEP 562): a module is imported when one of its names is first used."""

import importlib
import sys
from collections.abc import Callable, Mapping

__all__ = ["load_later"]


def load_later(package: str, modules: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """Return a ``__getattr__`` for a package.

    Args:
        package: Its name.
        modules: Modules below the package, each with those of its names that become the package's.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        module = importlib.import_module(f"{package}.{homes[name]}")
        value: object = getattr(module, name)
        setattr(sys.modules[package], name, value)  # from now on, nobody asks for it here
        return value

    return load
