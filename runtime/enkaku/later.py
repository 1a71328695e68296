"""Names of a package that are loaded when somebody asks for them (PEP 562).

Above it: the package itself. Below it: nothing.
"""

import importlib
import sys
from collections.abc import Callable

__all__ = ["load_later"]


def load_later(package: str, **modules: tuple[str, ...]) -> Callable[[str], object]:
    """Return a ``__getattr__`` for a package.

    Args:
        package: Its name.
        modules: Modules of the package, each with those of its names that become the package's.
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
