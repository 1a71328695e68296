"""The collections of real schemas: what stands here, what jsonschema says of it, and how values are compared."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote

import enkaku
import jsonschema_rs
import pytest
from enkaku_codegen.generate import generate
from enkaku_codegen.planning.names import constant_name
from enkaku_codegen.reading.definition import read_protocol
from generated.packages import importing, put
from once import made_once
from schema.values import same

HERE: Final = Path(__file__).parent
NAMES: Final = sorted(path.stem for path in (HERE / "protocols").glob("*.json"))
QUICK: Final = ("mcp", "metamask")
"""Small ones, of which one has examples: with them, the tests take a tenth of the time."""
MANY: Final = 200
"""How many definitions are so many that a request for each of them takes too long to generate."""


@dataclass(frozen=True)
class Example:
    """A message of a collection.

    Attributes:
        name: What the collection calls it, or close to it.
        accepted: What its schema says of it.
    """

    name: str
    procedure: str
    slot: str
    accepted: bool
    value: Any


@dataclass(frozen=True)
class Collection:
    """A collection, and the package made of it.

    Attributes:
        file: What the protocol file says; in a small one, each definition is the param of a request, too.
        directory: Where the package is, and the protocol file beside it.
    """

    name: str
    file: dict[str, Any]
    package: ModuleType
    directory: Path

    @property
    def protocol(self) -> Path:
        """The protocol file that the package is made from."""
        return self.directory.with_name("protocol.json")

    def slot(self, name: str) -> Any:
        """Give a slot of the package by the names of procedure and slot."""
        procedure, slot = name.split(" ")
        return getattr(getattr(self.package, constant_name(procedure)), slot)


def chosen(names: Iterable[str]) -> list[Any]:
    """Return collections as parameters of a test: each in one process only, all but a few of them slow."""
    return [
        pytest.param(
            name,
            marks=[
                pytest.mark.xdist_group(f"real {name}"),
                *([] if name in QUICK else [pytest.mark.slow]),
            ],
        )
        for name in names
    ]


def package_of(name: str, shared: Path) -> Path:
    """Generate the package of a collection, unless another test or process has done so.

    Args:
        shared: A directory that all processes have in common.
    """

    def make(directory: Path) -> None:
        file = read(HERE / "protocols" / f"{name}.json")
        if len(file["$defs"]) < MANY:
            file = extended(file)
        protocol = directory / "protocol.json"
        protocol.write_text(json.dumps(file), encoding="utf-8")
        put(generate(read_protocol(protocol), source=protocol.name), directory / f"real_{name}")

    return made_once(shared / f"real-{name}", make) / f"real_{name}"


@contextmanager
def opened(name: str, shared: Path) -> Iterator[Collection]:
    """Generate and import the package of a collection, and have it go with the block: they are large."""
    directory = package_of(name, shared)
    file = read(directory.with_name("protocol.json"))
    with importing(directory.name, directory.parent) as package:
        yield Collection(name, file, package, directory)


def read(path: Path) -> Any:
    """Read a protocol file as the JSON that it is."""
    return json.loads(path.read_text(encoding="utf-8"))


def has_examples(collection: str) -> bool:
    return (HERE / "examples" / f"{collection}.jsonl").exists()


def examples(collection: str) -> Iterator[Example]:
    for line in (
        (HERE / "examples" / f"{collection}.jsonl").read_text(encoding="utf-8").splitlines()
    ):
        yield Example(**json.loads(line))


def extended(file: Mapping[str, Any]) -> dict[str, Any]:
    """Give a protocol file in which each definition is the param of a request, too."""
    procedures = dict(file["procedures"])
    for index, name in enumerate(file["$defs"]):
        escaped = quote(name.replace("~", "~0").replace("/", "~1"))
        procedures[f"definition/{index}"] = {
            "type": "request",
            "description": f"Takes {name}.",
            "param": {"$ref": f"#/$defs/{escaped}"},
        }
    return {**file, "procedures": procedures}


def schemas(file: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the schemas of all slots in a protocol file, by the names of procedure and slot."""
    for name, procedure in file["procedures"].items():
        for slot in ("data", "param", "send", "receive", "result"):
            if slot in procedure:
                yield f"{name} {slot}", procedure[slot]


def validator(file: Mapping[str, Any], schema: Any) -> jsonschema_rs.Validator:
    """Return what jsonschema makes of the schema of a slot in a protocol file."""
    whole = {"$schema": file["$schema"], "$defs": file["$defs"], "allOf": [schema]}
    return jsonschema_rs.validator_for(whole, validate_formats=False)


class Judge:
    """Compares what the slots of a package and jsonschema say of values."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._schemas = dict(schemas(collection.file))
        self._current: tuple[str, jsonschema_rs.Validator] | None = None
        self._told: dict[bool, int] = {True: 0, False: 0}
        self._found: list[str] = []

    def compare(self, name: str, value: Any) -> bool:
        """Compare what both say of a value, and tell what jsonschema says.

        Args:
            name: Of procedure and slot.
        """
        slot, right = self._collection.slot(name), self._validator(name).is_valid(value)
        self._told[right] += 1
        text = json.dumps(value)
        try:
            back = slot.encode(slot.decode(text.encode()))
        except enkaku.DecodeError as error:
            if right:
                self._found.append(f"{name} refuses {text[:500]}: {error}")
        else:
            if not right:
                error = next(self._validator(name).iter_errors(value))
                self._found.append(
                    f"{name} accepts {text[:500]}: {error.instance_path} {error.message[:300]}"
                )
            elif not same(value, json.loads(back)):
                self._found.append(f"{name} makes {back[:500]!r} of {text[:500]}")
        return right

    def _validator(self, name: str) -> jsonschema_rs.Validator:
        """Return the validator of a slot: one at a time, for all of a collection take 300 MB."""
        if self._current is None or self._current[0] != name:
            self._current = name, validator(self._collection.file, self._schemas[name])
        return self._current[1]

    def conclude(self) -> None:
        """Fail if there was a difference."""
        assert self._told[True], "nothing was accepted"
        shown = "\n".join(self._found[:10])
        assert not self._found, f"{len(self._found)} of {self._told}:\n{shown}"
