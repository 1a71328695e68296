"""The option --import: which references it concerns, what it rejects, and that a change of an imported file is noticed."""

import json
from pathlib import Path
from typing import Any

import pytest
from commands import enkaku

COMMON: dict[str, Any] = {
    "$defs": {
        "Money": {"type": "object", "properties": {"amount": {"$ref": "units.json#/$defs/Count"}}},
        "Side": {"enum": ["left", "right"]},
    }
}
UNITS = {"$defs": {"Count": {"type": "integer"}}}
SHOP: dict[str, Any] = {
    "procedures": {"pay": {"type": "event", "data": {"$ref": "common.json#/$defs/Money"}}},
    "$defs": {},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in (("common", COMMON), ("units", UNITS), ("shop", SHOP)):
        write(tmp_path, name, content)
    return tmp_path


def write(root: Path, name: str, content: object) -> None:
    (root / f"{name}.json").write_text(json.dumps(content))


def generated(root: Path, *options: str, command: str = "generate") -> str:
    """Run the command for the shop, and return what it reports, or nothing if it succeeds."""
    done = enkaku(command, "shop.json", "--out", "shop", *options, cwd=root)
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


IMPORT = ("--import", "common.json=app.common")


def test_import_leaves_out_classes_of_imported_file(root: Path) -> None:
    assert generated(root, *IMPORT) == ""
    models = (root / "shop" / "models.py").read_text()
    assert "class" not in models
    assert "Count" not in models
    procedures = (root / "shop" / "procedures.py").read_text()
    assert "from app.common import Money\n" in procedures
    assert 'PAY: Final = enkaku.Event[Money]("pay", data=Money)' in procedures


@pytest.mark.parametrize("module", ["..common", "app", "app.common.types"])
def test_import_takes_any_module(root: Path, module: str) -> None:
    assert generated(root, "--import", f"common.json={module}") == ""
    assert f"from {module} import Money\n" in (root / "shop" / "procedures.py").read_text()


def test_import_order_of_options_does_not_matter(root: Path) -> None:
    shop = {**SHOP, "$defs": {"Count": {"$ref": "units.json#/$defs/Count"}}}
    write(root, "shop", shop)
    both = (*IMPORT, "--import", "units.json=app.units")
    assert generated(root, *both) == ""
    assert generated(root, *both[2:], *both[:2], command="check") == ""
    assert "app.units" not in (root / "shop" / "procedures.py").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("shop.json=app.shop",), "shop.json: imports shop.json from app.shop, and does not refer to it"),
        (("common.json=a", "other.json=b"), "shop.json: imports other.json from b, and does not refer to it"),
        (("common.json=a", "./common.json=b"), "common.json: imported twice: from a and from b"),
        (("common.json=a", "units.json=a"), "common.json: imported from a, as another file is; each file"),
        (("common.json=app-common",), 'imports: expected a module of Python, such as app.common; got "app-common"'),
        (("common.json=app.class",), 'expected a module of Python, such as app.common; got "app.class"'),
        (("common.json=os; import sys",), 'expected a module of Python, such as app.common; got "os; i'),
    ],
)  # fmt: skip
def test_wrong_import_is_reported(root: Path, options: tuple[str, ...], told: str) -> None:
    arguments = [part for each in options for part in ("--import", each)]
    assert told in generated(root, *arguments)
    assert not (root / "shop").exists()


@pytest.mark.parametrize("text", ["common.json", "=app", "common.json=", ""])
def test_import_without_file_or_module_is_rejected(root: Path, text: str) -> None:
    done = enkaku("generate", "shop.json", "--out", "shop", "--import", text, cwd=root)
    assert done.returncode == 2
    assert "expected FILE=MODULE, such as common.yaml=app.common" in done.stderr


def test_definition_that_package_lacks_is_named(root: Path) -> None:
    pay = {"type": "event", "data": {"$ref": "common.json#/$defs/Money/properties/amount"}}
    write(root, "shop", {"procedures": {"pay": pay}})
    told = 'the package app.common has no type of "Money/amount"; it has Count, Money, Side'
    assert f"shop.json:1: /procedures/pay/data/$ref: {told}" in generated(root, *IMPORT)


def test_own_type_named_like_imported_type_is_reported(root: Path) -> None:
    write(root, "shop", {**SHOP, "$defs": {"Money": {"type": "object", "properties": {"a": {}}}}})
    assert (
        'the package would have two things named Money: the type of app.common, and the definition "Money"'
        in generated(root, *IMPORT)
    )


def test_same_name_in_two_imported_files_is_no_conflict(root: Path) -> None:
    inner = {"type": "object", "properties": {"id": {"$ref": "#/$defs/Id"}}}
    write(root, "one", {"$defs": {"One": inner, "Id": {"type": "string"}}})
    write(root, "two", {"$defs": {"Two": inner, "Id": {"type": "integer"}}})
    slots = {"param": {"$ref": "one.json#/$defs/One"}, "result": {"$ref": "two.json#/$defs/Two"}}
    write(root, "shop", {"procedures": {"pay": {"type": "request", **slots}}})
    assert 'another schema is named "Id", too' in generated(root)
    assert generated(root, "--import", "one.json=app.one", "--import", "two.json=app.two") == ""


def test_packages_that_import_each_other_are_rejected(root: Path) -> None:
    back = {"properties": {"back": {"$ref": "shop.json#/$defs/Back"}}}
    write(root, "common", {"$defs": {"Money": back}})
    write(root, "shop", {**SHOP, "$defs": {"Back": {"type": "string"}}})
    told = "common.json: refers to shop.json, which refers to it: two packages cannot import each other"
    assert told in generated(root, *IMPORT)


def test_error_in_imported_file_is_located(root: Path) -> None:
    write(root, "common", {"$defs": {"Money": {"type": "objct"}}})
    assert "common.json:1: /$defs/Money/type: " in generated(root, *IMPORT)


@pytest.mark.parametrize("file", ["common", "units"])
def test_check_notices_change_of_imported_file(root: Path, file: str) -> None:
    options = (*IMPORT, "--import", "units.json=app.units")
    write(
        root, "common", {"$defs": {**COMMON["$defs"], "Money": {"$ref": "units.json#/$defs/Count"}}}
    )
    assert generated(root, *options) == ""
    assert generated(root, *options, command="check") == ""
    content = json.loads((root / f"{file}.json").read_text())
    definitions = content["$defs"]
    renamed = {f"New{name}": schema for name, schema in definitions.items()}
    write(root, file, {"$defs": renamed})
    assert "there is no /$defs/" in generated(root, *options, command="check")


def test_check_notices_what_imported_type_no_longer_enforces(root: Path) -> None:
    assert generated(root, *IMPORT) == ""
    assert not (root / "shop" / "schemas.py").exists()
    money = {**COMMON["$defs"]["Money"], "not": {"required": ["debt"]}}
    write(root, "common", {"$defs": {**COMMON["$defs"], "Money": money}})
    assert "out of date" in generated(root, *IMPORT, command="check")


def test_check_notices_another_import(root: Path) -> None:
    assert generated(root, *IMPORT) == ""
    assert "out of date" in generated(root, "--import", "common.json=other", command="check")
    assert "out of date" in generated(root, command="check")


def test_definition_of_other_file_is_own_type_unless_imported(root: Path) -> None:
    pair = {"type": "array", "items": {"$ref": "units.json#/$defs/Pair"}}
    pays = {"type": "request", "param": {"$ref": "common.json#/$defs/Money"}, "result": pair}
    count = {"type": "object", "properties": {"n": {"type": "integer"}}}
    write(root, "units", {"$defs": {"Count": count, "Pair": count}})
    write(root, "shop", {"procedures": {"pay": pays}})
    assert generated(root, *IMPORT) == ""
    models = (root / "shop" / "models.py").read_text()
    assert "class Pair(Model)" in models
    assert "Count" not in models  # only the imported class has it
