"""Python names for the names of a protocol: pure functions of one name each.

A name depends on its own text only, so that reordering or adding procedures renames nothing. Two texts may give one
name. ``Namespace`` reports that as an error; no suffix is added.

The rules, by example::

    metrics/stream   metrics_stream   METRICS_STREAM   MetricsStream...
    totalSamples     total_samples        a capital begins a word; HTTPServer is http_server
    content-type     content_type         characters that no identifier may have separate words
    $id, _id, @type  dollar_id, under_id, at_type    those at the front of a property or definition are spelled
    __typename       dunder_typename
    /users           users                but are left out at the front of a procedure, and at the end of any name
    class, copy      class_, copy_        keywords, and attributes of pydantic's models
    UUID, Absent     UUID_, Absent_       names that generated modules import
    3d               x3d                  an identifier begins with a letter
    +1, -1           plus_1, minus_1
    *, ""            asterisk, empty      without a letter: the names of the characters

A definition with the name of a generic type (``Page<(Order|null)>``) has words for the signs in it: ``PageOrderOrNull``.
A definition with the name of a URL or a package (``io.k8s.api.core.v1.Pod``) is named by as few of its last parts as
tell it from all other definitions: ``Pod``, else ``V1Pod``.

These are the rules of version 2. Version 1 (``names: 1`` in a protocol file) leaves out what is at the front of
properties and definitions, too, so that ``_id`` and ``id`` have one name.

Below a slot or a definition, a type is named by its path: ``MetricsStreamResult``, then the property
(``MetricsStreamResultOwner``), ``Item`` for the items of an array, ``Item1``, ``Item2`` for those of a tuple,
``Value`` for the values of a map. The only object in the union of a property adds nothing; others add what
``union_names`` makes of them.
"""

import keyword
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from enkaku_codegen.errors import Issue
from enkaku_codegen.reading.dialects import HOLDERS
from enkaku_codegen.reading.options import LATEST_NAMES, NameRules

from .generic_types import in_words
from .imported import IMPORTED

__all__ = [
    "Namespace",
    "attribute_name",
    "class_name",
    "constant_name",
    "definition_names",
    "is_attribute_name",
    "method_name",
    "own_class_name",
    "pascal",
    "typescript_method_name",
    "words",
]

# What every object of JavaScript has, and "then": "await" would call it, as that of a promise.
_OF_OBJECTS: Final = frozenset(
    {
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "then",
        "toLocaleString",
        "toString",
        "valueOf",
    }
)
# Names in annotations. An attribute of the same name would shadow them within its class.
_IN_ANNOTATIONS: Final = frozenset(
    {"bool", "dict", "float", "int", "list", "object", "str", "tuple"}
)
# The public names of pydantic's BaseModel and its metaclass, deprecated ones included.
_OF_MODELS: Final = frozenset(
    {
        "construct",
        "copy",
        "dict",
        "from_orm",
        "json",
        "model_computed_fields",
        "model_config",
        "model_construct",
        "model_copy",
        "model_dump",
        "model_dump_json",
        "model_extra",
        "model_fields",
        "model_fields_set",
        "model_json_schema",
        "model_parametrized_name",
        "model_post_init",
        "model_rebuild",
        "model_validate",
        "model_validate_json",
        "model_validate_strings",
        "mro",
        "parse_file",
        "parse_obj",
        "parse_raw",
        "register",
        "schema",
        "schema_json",
        "self",
        "update_forward_refs",
        "validate",
    }
)
_KEYWORDS: Final = frozenset(keyword.kwlist)
_ATTRIBUTES: Final = _KEYWORDS | _IN_ANNOTATIONS | _OF_MODELS
_METHODS: Final = _KEYWORDS | _IN_ANNOTATIONS | IMPORTED.keys()
# Templates of users may import the last two.
_CLASSES: Final = _KEYWORDS | IMPORTED.keys() | {"Any", "ConfigDict"}

# Words in a text of character classes: U (upper case), s, l (any other letter), d (digit).
_WORD: Final = re.compile(
    r"""U{2,}s(?![ls])d*    # IDs
      | U+(?![ls])d*        # HTTP, of HTTPServer too
      | U?[ls]+d*           # Server, server2
      | d+(?:[ls]+d*)?      # 3d""",
    re.VERBOSE,
)
_URL: Final = re.compile(r"[A-Za-z][\w+.-]*://|urn:")
# A package of two steps or more, and the name of a type.
_PACKAGE: Final = re.compile(r"[a-z][\w-]*(\.[\w-]+)+\.[A-Z]\w*")
_SIGNS: Final = {"+": "plus", "-": "minus"}
# The words for characters at the front of a name. None is the beginning of another, and they are joined without a
# separator: so two names that differ only in such characters never get one name.
_MARKS: Final = {
    " ": "space",
    "!": "bang",
    '"': "quote",
    "#": "hash",
    "$": "dollar",
    "%": "percent",
    "&": "and",
    "'": "apostrophe",
    "(": "paren",
    ")": "closeparen",
    "*": "asterisk",
    "+": "plus",
    ",": "comma",
    "-": "minus",
    ".": "dot",
    "/": "slash",
    ":": "colon",
    ";": "semicolon",
    "<": "less",
    "=": "equals",
    ">": "greater",
    "?": "question",
    "@": "at",
    "[": "bracket",
    "\\": "backslash",
    "]": "closebracket",
    "^": "caret",
    "_": "under",
    "__": "dunder",
    "`": "backtick",
    "{": "brace",
    "|": "pipe",
    "}": "closebrace",
    "~": "tilde",
}


def words(name: str, rules: NameRules = LATEST_NAMES) -> list[str]:
    """Return the words of the name of a property or definition, in their own case; at least one."""
    if rules == 1:
        return _words_of_path(name)
    text, matches = _matches(name)
    front = text[: matches[0].start()] if matches else text
    marks = "".join(_mark(each) for each in re.findall("__|.", front, re.DOTALL))
    found = [text[match.start() : match.end()] for match in matches]
    return [marks, *found] if marks else found or ["empty"]


def _words_of_path(name: str) -> list[str]:
    """Return the words of a procedure's path, which has separators at its front; at least one."""
    text, matches = _matches(name)
    found = [text[match.start() : match.end()] for match in matches]
    if found and re.match(r"\W*[+-]\d", text):
        found.insert(0, _SIGNS[re.sub(r"\d.*", "", text, flags=re.DOTALL)[-1]])
    return found or _spelled(name)


def _matches(name: str) -> tuple[str, list[re.Match[str]]]:
    text = unicodedata.normalize("NFKC", name)
    kinds = "".join(_kind(character) for character in text)
    return text, list(_WORD.finditer(kinds))


def _mark(character: str) -> str:
    return _MARKS.get(character) or "".join(_spelled(character))


def _kind(character: str) -> str:
    if character == "_" or not ("a" + character).isidentifier():
        return " "
    if character.isdecimal():
        return "d"
    if character.isupper() or character.istitle():
        return "U"
    return "s" if character == "s" else "l"


def _spelled(text: str) -> list[str]:
    spelled = " ".join(unicodedata.name(each, f"u{ord(each):04x}") for each in text) or "empty"
    return re.findall("[a-z0-9]+", spelled.lower())


def pascal(name: str, rules: NameRules = LATEST_NAMES) -> str:
    """Return a name in ``PascalCase``: a part of a class name."""
    return _pascal(words(name, rules))


def _pascal(words: list[str]) -> str:
    return "".join(word.capitalize() for word in words)


def attribute_name(
    name: str, rules: NameRules = LATEST_NAMES, reserved: frozenset[str] = frozenset()
) -> str:
    """Return the name of the attribute for a property of an object.

    Args:
        name: The name of the property.
        rules: The version of the rules.
        reserved: Other names in the annotations of the package.
    """
    return _snake(words(name, rules), _ATTRIBUTES | reserved)


def is_attribute_name(name: str, reserved: frozenset[str] = frozenset()) -> bool:
    """Return whether an attribute may have a name unchanged, without a clash in generated code."""
    fits = name.isidentifier() and unicodedata.is_normalized("NFKC", name)
    return fits and name[0] != "_" and not _is_upper(name) and name not in _ATTRIBUTES | reserved


def method_name(name: str, reserved: frozenset[str] = frozenset()) -> str:
    """Name the method for a procedure."""
    return _snake(_words_of_path(name), _METHODS | reserved)


def typescript_method_name(name: str) -> str:
    """Name the method for a procedure in ``camelCase``; ``_`` separates a word that has no capital, as in ``v_2``."""
    first, *others = _words_of_path(name)
    joined = first.lower()
    for each in others:
        word = each.capitalize()
        joined += word if _is_upper(word) else f"_{word}"
    return _finish(joined, "x", _OF_OBJECTS)


def constant_name(name: str) -> str:
    """Name the constant for a procedure."""
    return _finish("_".join(_words_of_path(name)).upper(), "X", frozenset(IMPORTED))


def class_name(*parts: str) -> str:
    """Name a class by its path: a procedure, a slot, an error code and so on, each in any case."""
    return _class("".join(_pascal(_words_of_path(part)) for part in parts))


def own_class_name(name: str, rules: NameRules = LATEST_NAMES) -> str:
    """Name a class that has a name already, and keep it if it will do."""
    fits = name.isidentifier() and unicodedata.is_normalized("NFKC", name) and _is_upper(name)
    if not fits:
        name = pascal(name if rules == 1 else in_words(name), rules)
    return _class(name)


def definition_names(definitions: Iterable[str], rules: NameRules) -> dict[str, str]:
    """Return the class names of definitions."""
    names = {each: own_class_name(each, rules) for each in definitions}
    if rules == 1:
        return names
    parts = {each: found for each in names if len(found := _parts(each)) > 1}
    plain = {name for each, name in names.items() if each not in parts}
    short: dict[str, str] = {}
    waiting, count = list(parts), 1
    while waiting:
        tried = {each: own_class_name("/".join(parts[each][-count:])) for each in waiting}
        users = Counter(tried.values())
        fits = {each for each, name in tried.items() if users[name] == 1 and name not in plain}
        short |= {each: tried[each] for each in fits}
        waiting = [each for each in waiting if each not in fits and len(parts[each]) > count]
        count += 1
    # Two of different lengths may be the same: each of them keeps its whole name.
    users = Counter(short.values())
    return names | {each: name for each, name in short.items() if users[name] == 1}


def _parts(definition: str) -> list[str]:
    """Return the parts of a name that is a URL or has the name of a package; else the name alone."""
    if match := _URL.match(definition):
        path = re.sub(r"(\.schema)?\.(json|ya?ml)(?=#|$)", "", definition[match.end() :])
        steps = [each for each in re.split("[/#?]", path) if each]
        return [each for each in steps if each not in HOLDERS] or [definition]
    return definition.split(".") if _PACKAGE.fullmatch(definition) else [definition]


def _snake(words: list[str], reserved: frozenset[str]) -> str:
    return _finish("_".join(words).lower(), "x", reserved)


def _class(name: str) -> str:
    # A capital at the front keeps classes apart from attributes, in scripts without capitals too.
    return _finish(name if _is_upper(name) else f"X{name}", "X", _CLASSES)


def _is_upper(name: str) -> bool:
    return name[0].isupper() or name[0].istitle()


def _finish(name: str, prefix: str, reserved: frozenset[str]) -> str:
    normal = unicodedata.normalize("NFKC", name)
    if not normal[0].isidentifier():
        normal = unicodedata.normalize("NFKC", prefix + normal)
    return f"{normal}_" if normal in reserved else normal


@dataclass(slots=True)
class Namespace:
    """One namespace of generated code, with the owner of each name.

    Attributes:
        where: The namespace, in words, for messages.
        advice: How to resolve a collision, for messages.
    """

    where: str
    advice: str = "rename one of them"
    _owners: dict[str, str] = field(default_factory=dict[str, str])

    def release(self, name: str) -> None:
        """Make a name free again."""
        self._owners.pop(name, None)

    def reserve(self, name: str, owner: str, pointer: str) -> Iterator[Issue]:
        """Reserve a name, and yield an issue if it is reserved already.

        Args:
            name: The Python name.
            owner: What gets the name, in words.
            pointer: The location of the owner in the protocol file.
        """
        first = self._owners.get(name)
        if first is None:
            self._owners[name] = f"{owner} at {pointer}" if pointer else owner
        else:
            yield Issue(
                None,
                None,
                pointer,
                f"{self.where} would have two things named {name}: {owner}, and {first}; "
                f"{self.advice}",
            )
