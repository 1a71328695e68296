"""Names for the alternatives of a union, by what they are and not by how many stand before them."""

from collections.abc import Mapping, Sequence

from enkaku_codegen.jsontree import Json
from enkaku_codegen.reading.simple_schema import Node, as_dict, is_class

from .names import pascal

__all__ = ["suffixes"]


def suffixes(choices: Sequence[Node]) -> Mapping[int, str]:
    """Tell alternatives apart: objects always, arrays and maps where there are several.

    Returns:
        For the index of an alternative, what to add to the name of the union.
    """
    objects: list[int] = []
    others: dict[str, list[int]] = {"Array": [], "Map": []}
    for index, choice in enumerate(choices):
        if choice.get("type") == "array":
            others["Array"].append(index)
        elif choice.get("type") == "object":
            (objects if is_class(choice) else others["Map"]).append(index)
    found = dict(zip(objects, _of_objects([choices[index] for index in objects]), strict=True))
    for kind, indices in others.items():
        if len(indices) > 1:
            found |= {index: f"{kind}{place}" for place, index in enumerate(indices, start=1)}
    return found


def _of_objects(objects: Sequence[Node]) -> Sequence[str]:
    keys = {key for node in objects for key in as_dict(node.get("properties"))}
    for key in sorted(keys):
        tags = [_tag(as_dict(node.get("properties")).get(key)) for node in objects]
        if _all_different(tags):
            return tags
    titles = [_title(node.get("title")) for node in objects]
    if _all_different(titles):
        return titles
    if len(objects) == 1:
        return ["Object"]
    options = [f"Option{place}" for place in range(1, len(objects) + 1)]
    for key in sorted(keys):
        tags = [_tag(as_dict(node.get("properties")).get(key)) for node in objects]
        if any(tags):
            # Those without are called by their title.
            names = [tag or title for tag, title in zip(tags, titles, strict=True)]
            return names if _all_different(names) else options
    return options


def _tag(schema: Json) -> str:
    match schema:
        case {"const": str() as tag} | {"enum": [str() as tag]}:
            return pascal(tag)
        case _:
            return ""


def _title(text: Json) -> str:
    return pascal(text) if isinstance(text, str) and text.strip() else ""


def _all_different(names: Sequence[str]) -> bool:
    return all(names) and len(set(names)) == len(names)
