"""Names for the alternatives of a union, made from their contents so that order does not matter.

The classes of a union are told apart by the first of these that is different in each: the constants of one property
that all have, the titles. Otherwise each gets its constant or its title, and then, among those that have the same
one, the property that only it requires, the property that only it has, or all that it requires. Those that nothing
tells apart are numbered.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from enkaku_codegen.json_values import Json
from enkaku_codegen.reading.options import LATEST_NAMES, NameRules
from enkaku_codegen.reading.simple_schema import SimpleSchema, as_dict, as_list, is_class

from .names import pascal

__all__ = ["suffixes"]


_LONGEST: Final = 3


def suffixes(
    choices: Sequence[SimpleSchema], name: str, rules: NameRules, *, numbered: bool = False
) -> Mapping[int, str]:
    """Return distinct suffixes for alternatives: for objects always, for arrays and maps if there are several.

    Args:
        choices: The alternatives.
        name: The name of the union.
        rules: The version of the rules for names.
        numbered: Whether objects without a distinct title or constant are numbered, whatever they have.

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
    classes = [choices[index] for index in objects]
    endings = (
        _numbered(classes, rules)
        if numbered or rules == 1
        else _described([_Described(each, name) for each in classes])
    )
    found = dict(zip(objects, endings, strict=True))
    for kind, indices in others.items():
        if len(indices) > 1:
            found |= {index: f"{kind}{number}" for number, index in enumerate(indices, start=1)}
    return found


def _numbered(objects: Sequence[SimpleSchema], rules: NameRules) -> Sequence[str]:
    keys = {key for simple in objects for key in as_dict(simple.get("properties"))}
    for key in sorted(keys):
        constants = [
            _constant(as_dict(simple.get("properties")).get(key), rules) for simple in objects
        ]
        if _all_different(constants):
            return constants
    titles = [_title(simple.get("title"), rules) for simple in objects]
    if _all_different(titles):
        return titles
    if len(objects) == 1:
        return ["Object"]
    options = [f"Option{number}" for number in range(1, len(objects) + 1)]
    for key in sorted(keys):
        constants = [
            _constant(as_dict(simple.get("properties")).get(key), rules) for simple in objects
        ]
        if any(constants):
            # An object without a constant gets its title.
            names = [constant or title for constant, title in zip(constants, titles, strict=True)]
            return names if _all_different(names) else options
    return options


class _Described:
    """An alternative, with what a name can be made of.

    Attributes:
        constants: The words for the constants of its properties, by property.
        title: The words of its title, without those of the union's name.
        required: The properties that it requires.
        properties: All of its properties.
    """

    def __init__(self, simple: SimpleSchema, name: str) -> None:
        properties = as_dict(simple.get("properties"))
        words = {key: _constants(each) for key, each in properties.items()}
        self.constants = {key: each for key, each in words.items() if each}
        title = _title(simple.get("title"), LATEST_NAMES)
        rest = title.removeprefix(name) or ("Object" if title else "")
        # Acc is not the first word of Account.
        self.title = title if rest[:1].islower() else rest
        self.required = {each for each in as_list(simple.get("required")) if isinstance(each, str)}
        self.properties = properties.keys() | self.required


def _described(objects: Sequence[_Described]) -> Sequence[str]:
    """Return a suffix for each object of a union, made from what distinguishes it from the others."""
    keys = sorted({key for each in objects for key in each.constants})
    for key in keys if len(objects) > 1 else ():
        constants = [each.constants.get(key, "") for each in objects]
        if _all_different(constants):
            return constants
    titles = [each.title for each in objects]
    if _all_different(titles):
        return titles
    if len(objects) == 1:
        return ["Object"]
    tags = _tags(objects, keys)
    named = [tag or each.title for tag, each in zip(tags, objects, strict=True)]
    return _numbers(_refined(objects, named))


def _tags(objects: Sequence[_Described], keys: Sequence[str]) -> list[str]:
    """Return the constants of the property that has different ones in most objects."""

    def variety(key: str) -> int:
        return len({each.constants[key] for each in objects if key in each.constants})

    key = max(keys, key=variety, default="")
    # One constant distinguishes nothing.
    tagged = bool(key) and variety(key) > 1
    return [each.constants.get(key, "") if tagged else "" for each in objects]


def _refined(objects: Sequence[_Described], names: list[str]) -> list[str]:
    """Return the names, with the properties that distinguish objects added where several have one name."""
    refined = list(names)
    counts = Counter(names)
    for name in counts:
        group = [index for index, each in enumerate(names) if each == name]
        if len(group) > 1 or not name:
            required = Counter(key for index in group for key in objects[index].required)
            properties = Counter(key for index in group for key in objects[index].properties)
            for index in group:
                each = objects[index]
                refined[index] += (
                    _first(key for key in each.required if required[key] == 1)
                    or _first(key for key in each.properties if properties[key] == 1)
                    or _joined(each.required)
                )
    return refined


def _numbers(names: list[str]) -> list[str]:
    """Return the names, with numbers for those that come up several times."""
    counts, seen = Counter(names), Counter[str]()
    distinct: list[str] = []
    for name in names:
        seen[name] += 1
        number = seen[name] if counts[name] > 1 else ""
        distinct.append(f"{name or ('Option' if number else 'Object')}{number}")
    if _all_different(distinct):
        return distinct
    return [f"Option{number}" for number in range(1, len(names) + 1)]


def _first(keys: Iterator[str]) -> str:
    first = min(keys, default=None)
    return "" if first is None else pascal(first)


def _joined(keys: set[str]) -> str:
    return "".join(map(pascal, sorted(keys))) if len(keys) <= _LONGEST else ""


def _constants(schema: Json) -> str:
    """Return the words for the constants that a schema accepts, if they are few."""
    match schema:
        case {"const": str() as constant}:
            return pascal(constant)
        case {"enum": [*values]} if 0 < len(values) <= _LONGEST:
            words = [pascal(each) for each in values if isinstance(each, str)]
            return "Or".join(words) if len(words) == len(values) else ""
        case {"allOf": [*parts]}:
            found = [_constants(each) for each in parts]
            return min((each for each in found if each), key=len, default="")
        case _:
            return ""


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
