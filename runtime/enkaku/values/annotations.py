"""Annotations of models, evaluated once each.

Under ``from __future__ import annotations``, the annotations of a class are strings, and pydantic compiles each of them. Most
properties of a large protocol have the same few annotations, so that this is a quarter of the time of its import. Here, equal
strings of one module are evaluated once, as long as the names in them mean the same.
"""

import re
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["evaluate_annotations"]

_NAME: Final = re.compile(r"[^\W\d]\w*")


class _Known(NamedTuple):
    """An annotation that was evaluated, and what each name in it was."""

    value: object
    names: Mapping[str, object]


class _Module(NamedTuple):
    names: Mapping[str, object] | None
    known: dict[str, _Known]


_last: list[_Module] = [_Module(None, {})]  # of one module, so that nothing of others is kept alive


def evaluate_annotations(model: type) -> None:
    """Replace the strings in the annotations of a class that is being made by what they mean.

    Those that pydantic has to resolve stay strings: of local classes, with names that are not defined yet, or with names that
    the class itself defines.
    """
    annotations: dict[str, object] = vars(model).get("__annotations__", {})
    module = sys.modules.get(model.__module__)
    if module is None or "." in model.__qualname__:
        return
    if _last[0].names is not vars(module):
        _last[0] = _Module(vars(module), {})
    names, known = vars(module), _last[0].known
    for attribute, text in annotations.items():
        if not isinstance(text, str):
            continue
        found = known.get(text)
        if found is None or any(names.get(name) is not each for name, each in found.names.items()):
            used = {name: names.get(name) for name in _NAME.findall(text)}
            try:
                value: object = eval(text, names)  # noqa: S307 # as pydantic evaluates it
            except Exception:  # noqa: BLE001, S112 # pydantic raises it, or waits for the name
                continue
            found = known[text] = _Known(value, used)
        if vars(model).keys().isdisjoint(found.names):
            annotations[attribute] = found.value
