"""Python names for the names of a protocol: pure functions of one name each.

A name depends on its own text only, so that reordering or adding procedures renames nothing. Two texts may give one
name. ``Namespace`` reports that as an error; no suffix is added.

The rules, by example::

    metrics/stream   metrics_stream   METRICS_STREAM   MetricsStream...
    totalSamples     total_samples        a capital begins a word; HTTPServer is http_server
    content-type     content_type         characters that no identifier may have separate words
    $id, _id, id     id                   and are left out at the ends
    class, copy      class_, copy_        keywords, and attributes of pydantic's models
    UUID, Absent     UUID_, Absent_       names that generated modules import
    3d               x3d                  an identifier begins with a letter
    +1, -1           plus_1, minus_1
    *, ""            asterisk, empty      without a letter: the names of the characters

Below a slot or a definition, a type is named by its path: ``MetricsStreamResult``, then the property
(``MetricsStreamResultOwner``), ``Item`` for the items of an array, ``Item1``, ``Item2`` for those of a tuple,
``Value`` for the values of a map. An object in a union adds its discriminating constant (``type: "circle"`` gives
``Circle``), else its title, else ``Object``, or ``Option1``, ``Option2`` if there are several.
"""

import keyword
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from enkaku_codegen.errors import Issue

from .imported import IMPORTED

__all__ = [
    "Namespace",
    "attribute_name",
    "class_name",
    "constant_name",
    "is_attribute_name",
    "method_name",
    "own_class_name",
    "pascal",
    "words",
]

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
_SIGNS: Final = {"+": "plus", "-": "minus"}


def words(name: str) -> list[str]:
    """Return the words of a name, in their own case; at least one."""
    text = unicodedata.normalize("NFKC", name)
    kinds = "".join(_kind(character) for character in text)
    found = [text[match.start() : match.end()] for match in _WORD.finditer(kinds)]
    if found and re.match(r"\W*[+-]\d", text):
        found.insert(0, _SIGNS[re.sub(r"\d.*", "", text, flags=re.DOTALL)[-1]])
    return found or _spelled(name)


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


def pascal(name: str) -> str:
    """Return a name in ``PascalCase``: a part of a class name."""
    return "".join(word.capitalize() for word in words(name))


def attribute_name(name: str) -> str:
    """Return the name of the attribute for a property of an object."""
    return _snake(name, _ATTRIBUTES)


def is_attribute_name(name: str) -> bool:
    """Return whether an attribute may have a name unchanged, without a clash in generated code."""
    fits = name.isidentifier() and unicodedata.is_normalized("NFKC", name)
    return fits and name[0] != "_" and not _is_upper(name) and name not in _ATTRIBUTES


def method_name(name: str) -> str:
    """Name the method for a procedure."""
    return _snake(name, _METHODS)


def constant_name(name: str) -> str:
    """Name the constant for a procedure."""
    return _finish("_".join(words(name)).upper(), "X", frozenset(IMPORTED))


def class_name(*parts: str) -> str:
    """Name a class by its path: a procedure, a slot, a property and so on, each in any case."""
    return _class("".join(pascal(part) for part in parts))


def own_class_name(name: str) -> str:
    """Name a class that has a name already, and keep it if it will do."""
    fits = name.isidentifier() and unicodedata.is_normalized("NFKC", name) and _is_upper(name)
    return _class(name if fits else pascal(name))


def _snake(name: str, reserved: frozenset[str]) -> str:
    return _finish("_".join(words(name)).lower(), "x", reserved)


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
