"""Every constraint that a type can express is there, in whatever type it stands."""

from collections.abc import Iterator
from types import ModuleType

import pytest
from enkaku_codegen.planning.planner import make_plan
from enkaku_codegen.proving.checks import make_checks
from generated.packages import accepts, imported
from generated.positions import FORMS, POSITIONS, procedure_of, protocol

pytestmark = pytest.mark.xdist_group("positions")  # one package for all


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    made = protocol()
    checks = make_checks(make_plan(made), made)
    assert [str(each.reasons[0]) for each in checks.slots.values()] == []
    with imported(made, tmp_path_factory.mktemp("positions"), formatted=False) as package:
        yield package


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("form", FORMS)
def test_constraint_is_enforced_at_every_position(
    package: ModuleType, form: str, position: str
) -> None:
    _, good, bad = FORMS[form]
    around = POSITIONS[position][1]
    slot = getattr(package, procedure_of(form, position).upper().replace("/", "_")).param
    assert accepts(slot, around(good))
    assert [value for value in bad if accepts(slot, around(value))] == (
        [None] if "nullable" in position and None in bad else []
    )
