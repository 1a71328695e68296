"""Rules of documentation: missing descriptions, and the style of names."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from enkaku_codegen.json_values import Json, Tokens, tokens
from enkaku_codegen.reading.simple_schema import as_dict
from enkaku_codegen.reading.validation_text import describe

from .rules import Hit
from .subject import Subject

__all__ = ["documentation"]

_STYLES: Final[Mapping[str, re.Pattern[str]]] = {
    "camelCase": re.compile(r"[a-z]+[0-9]*(?:[A-Z][a-z0-9]*)+"),
    "snake_case": re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+"),
    "kebab-case": re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+"),
    "PascalCase": re.compile(r"[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]*)*"),
}
_PROCEDURE: Final = re.compile(r"[a-z][A-Za-z0-9_-]*(?:[/.:][a-z][A-Za-z0-9_-]*)*")
_SEPARATORS: Final = re.compile(r"[/.:]")
_DEFINITION: Final = re.compile(r"[A-Z][A-Za-z0-9]*")


def documentation(subject: Subject) -> Iterator[Hit]:
    """Yield missing descriptions, and names in another style than the others; of the protocol's own file only."""
    yield from _procedures(subject)
    yield from _definitions(subject)
    yield from _properties(subject)


def _procedures(subject: Subject) -> Iterator[Hit]:
    parts: list[tuple[str, Tokens]] = []
    odd: list[Hit] = []
    for each in subject.protocol.both_ways:
        path = tokens(each.pointer)
        if not each.description.strip():
            yield Hit("undescribed-procedure", path, "a procedure without description")
        if _PROCEDURE.fullmatch(each.name):
            parts += [(part, path) for part in _SEPARATORS.split(each.name)]
        else:
            message = f"expected a name like area/verb, with lower-case first letters, got {describe(each.name)}"
            odd.append(Hit("procedure-name", path, message))
    yield from _grouped(odd, len(subject.protocol.both_ways))
    yield from _minority("procedure-name", parts)


def _definitions(subject: Subject) -> Iterator[Hit]:
    definitions = as_dict(as_dict(subject.document.value).get("$defs"))
    odd: list[Hit] = []
    for name, schema in definitions.items():
        path = ("$defs", name)
        if not _has_text(schema):
            yield Hit("undescribed-definition", path, "a definition without description")
        if not _DEFINITION.fullmatch(name):
            message = f"expected a name like LogLevel, got {describe(name)}"
            odd.append(Hit("definition-name", path, message))
    yield from _grouped(odd, len(definitions))


def _grouped(hits: list[Hit], count: int) -> Iterator[Hit]:
    """Yield the hits; if more than half of the names are odd, they have a style of their own: one hit for all."""
    if len(hits) * 2 <= count or len(hits) == 1:
        yield from hits
    else:
        yield replace(
            hits[0], message=f"{hits[0].message}; {len(hits)} of {count} names are like that"
        )


def _properties(subject: Subject) -> Iterator[Hit]:
    names: list[tuple[str, Tokens]] = []
    origins = subject.protocol.origins
    for each in subject.visited:
        subject.limit.step()
        origin = origins.get(each.path[1]) if each.path[0] == "$defs" else None
        if origin is not None and origin.document.key != subject.document.key:
            continue
        for name, schema in as_dict(each.schema.get("properties")).items():
            path = (*each.path, "properties", name)
            names.append((name, path))
            if each.outer is None and schema is not False and not _has_text(schema):
                yield Hit("undescribed-property", path, "a property without description")
    yield from _minority("property-name", names)


def _has_text(schema: Json) -> bool:
    text = as_dict(schema).get("description")
    return isinstance(text, str) and bool(text.strip())


def _minority(rule: str, names: Iterable[tuple[str, Tokens]]) -> Iterator[Hit]:
    """Yield the names in another style than most: each once, at its first location. Single words have no style."""
    paths: dict[str, Tokens] = {}
    for name, path in names:
        paths.setdefault(name, path)
    styles = {name: style for name in paths if (style := _style(name))}
    counts = Counter(styles.values())
    if len(counts) < 2:
        return
    usual, count = counts.most_common(1)[0]
    for name, style in styles.items():
        if style != usual:
            message = f"{describe(name)} is {style}, {count} other name{'s'[:count - 1]} {'is' if count == 1 else 'are'} {usual}"
            yield Hit(rule, paths[name], message)


def _style(name: str) -> str:
    return next((style for style, pattern in _STYLES.items() if pattern.fullmatch(name)), "")
