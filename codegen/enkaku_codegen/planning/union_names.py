"""Names for the alternatives of a union, made from their contents so that order does not matter."""

from collections.abc import Mapping, Sequence

from enkaku_codegen.json_values import Json
from enkaku_codegen.reading.options import NameRules
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, is_class

from .names import pascal

__all__ = ["suffixes"]


def suffixes(
    choices: Sequence[SimpleSchema], rules: NameRules
) -> Mapping[int, str]:
    """Return distinct suffixes for alternatives: for objects always, for arrays and maps if there are several.

    Returns:
        The addition to the name of the union, by the index of the alternative.
    """
    objects: list[int] = []
    others: dict[str, list[int]] = {"Array": [], "Map": []}
    for index, choice in enumerate(choices):
        if choice.get("type") == "array":
            others["Array"].append(index)
        elif choice.get("type") == "object":
            (objects if is_class(choice) else others["Map"]).append(index)
    found = dict(zip(objects, _of_objects([choices[index] for index in objects], rules), strict=True))
    for kind, indices in others.items():
        if len(indices) > 1:
            found |= {index: f"{kind}{number}" for number, index in enumerate(indices, start=1)}
    return found


def _of_objects(objects: Sequence[SimpleSchema], rules: NameRules) -> Sequence[str]:
    keys = {key for simple in objects for key in as_dict(simple.get("properties"))}
    for key in sorted(keys):
        constants = [_constant(as_dict(simple.get("properties")).get(key), rules) for simple in objects]
        if _all_different(constants):
            return constants
    titles = [_title(simple.get("title"), rules) for simple in objects]
    if _all_different(titles):
        return titles
    if len(objects) == 1:
        return ["Object"]
    options = [f"Option{number}" for number in range(1, len(objects) + 1)]
    for key in sorted(keys):
        constants = [_constant(as_dict(simple.get("properties")).get(key), rules) for simple in objects]
        if any(constants):
            # An object without a constant gets its title.
            names = [constant or title for constant, title in zip(constants, titles, strict=True)]
            return names if _all_different(names) else options
    return options


def _constant(schema: Json, rules: NameRules) -> str:
    match schema:
        case {"const": str() as constant} | {"enum": [str() as constant]}:
            return pascal(constant, rules)
        case _:
            return ""


def _title(text: Json, rules: NameRules) -> str:
    return pascal(text, rules) if isinstance(text, str) and text.strip() else ""


def _all_different(names: Sequence[str]) -> bool:
    return all(names) and len(set(names)) == len(names)
