"""Lazy attributes of a package (PEP 562): a module is imported when one of its names is first used."""

import importlib
import sys
from collections.abc import Callable, Mapping

__all__ = ["load_later"]


def load_later(package: str, modules: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """Return a ``__getattr__`` for a package, which imports a module when one of its names is first used.

    Args:
        package: The name of the package.
        modules: Modules of the package, each with the names that the package takes from it; the module's own name
            stands for the module.
    """
    module_of = {name: module for module, names in modules.items() for name in names}

    def load(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name)
        module = importlib.import_module(f"{package}.{module_of[name]}")
        value: object = module if module_of[name] == name else getattr(module, name)
        setattr(
            sys.modules[package], name, value
        )  # from now on, Python finds the name without calling __getattr__
        return value

    return load
