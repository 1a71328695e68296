"""Generated packages against the judges: where do they differ?"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from enkaku_codegen.planning.names import constant_name
from json_values import read_text
from schema.faults import fault
from schema.values import spelled

from .cases import Case, Generated, Refusal, generated, random_cases
from .instances import InstanceMaker
from .judge import Judge
from .schemas import Draft

__all__ = [
    "Disagreement",
    "Tally",
    "compare_case",
    "compare_cases",
    "compare_numbered",
    "compare_package",
    "proved_slots",
    "slot_of",
]

_SCHEMAS: Final = 80
_NAMES: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\S*[/0-9]\S*')
_DRAFTS: Final[tuple[Draft, ...]] = ("draft2020-12", "draft2020-12", "draft7")


@dataclass(frozen=True)
class Disagreement:
    """An instance on which a generated package and both judges differ.

    Attributes:
        kind: In what way, the same for all of one kind.
        text: The instance.
        detail: What was said.
    """

    kind: str
    case: Case
    text: str
    detail: str


@dataclass
class Tally:
    """What was found.

    Attributes:
        skipped: Instances without a verdict: what is accepted has to come back, nothing else is asked.
        refusals: By what was said, how many schemas were refused for it.
        slowest: Seconds for the slowest package.
    """

    instances: int = 0
    accepted: int = 0
    skipped: int = 0
    schemas: int = 0
    proved: int = 0
    unjudged: int = 0
    slowest: float = 0.0
    refusals: Counter[str] = field(default_factory=Counter)
    disagreements: list[Disagreement] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        for name in ("instances", "accepted", "skipped", "schemas", "proved", "unjudged"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest = max(self.slowest, other.slowest)
        self.refusals += other.refusals
        self.disagreements += other.disagreements


def compare_package(seed: str, *, instances: int = 50, second: float = 1.0) -> Tally:
    """Generate one package from random schemas, and try it.

    Args:
        seed: All that is random depends on it.
        instances: How many values are tried with each schema.
        second: For which share of the schemas the slow judge is asked, too.
    """
    pick = Random(seed)
    cases = random_cases(pick, pick.choice(_DRAFTS), _SCHEMAS)
    return compare_cases(cases, seed, instances=instances, second=second)


def compare_numbered(seed: str, number: int, *, second: float) -> Tally:
    """Generate and try one package of a run of many."""
    return compare_package(f"{seed}.{number}", second=second)


def compare_cases(
    cases: Sequence[Case],
    seed: str,
    *,
    instances: int,
    second: float = 1.0,
    formatted: bool = True,
) -> Tally:
    """Generate a package from some cases, and try random instances with each.

    Args:
        seed: What instances there are for a case depends on it, on the case, and on nothing else.
        formatted: Whether black formats the packages.
    """
    tally = Tally()
    start = time.perf_counter()
    with generated(cases, formatted=formatted) as (packages, refusals):
        tally.slowest = time.perf_counter() - start
        for refusal in refusals:
            _note(refusal, tally)
        for each in packages:
            proved = proved_slots(each)
            for case in each.cases:
                tally.schemas += 1
                tally.proved += case.name in proved
                pick = Random(f"{seed}.{case.name}")
                maker = InstanceMaker(pick, case.draft, case.schema, case.known)
                texts = (spelled(value, pick) for value in maker.instances(instances))
                judge = Judge(
                    case.draft, case.schema, case.definitions, second=pick.random() < second
                )
                compare_case(case, slot_of(each, case), texts, judge, tally)
    return tally


def slot_of(package: Generated, case: Case) -> Any:
    return getattr(package.module, constant_name(case.name)).param


def proved_slots(package: Generated) -> frozenset[str]:
    """Give the procedures whose types alone enforce their schemas."""
    assert package.module.__file__ is not None
    text = Path(package.module.__file__).with_name("procedures.py").read_text(encoding="utf-8")
    parts = re.split(r"^(\w+): Final", text, flags=re.MULTILINE)
    checked = {
        name for name, rest in zip(parts[1::2], parts[2::2], strict=True) if "Checked(" in rest
    }
    return frozenset(case.name for case in package.cases if constant_name(case.name) not in checked)


def compare_case(case: Case, slot: Any, texts: Iterable[str], judge: Judge, tally: Tally) -> None:
    """Try instances with one slot; no two disagreements of one kind are told."""
    if judge.failure:
        tally.unjudged += 1
        return
    kinds: set[str] = set()
    for text in texts:
        value = read_text(text)
        accepts = judge.accepts(value)
        tally.instances += 1
        tally.skipped += accepts is None
        tally.accepted += accepts is True
        found = fault(slot, text, value, accepts=accepts)
        if found is not None and found[0] not in kinds:
            kinds.add(found[0])
            tally.disagreements.append(Disagreement(found[0], case, text, found[1]))


def _note(refusal: Refusal, tally: Tally) -> None:
    words = _NAMES.sub("...", refusal.message)
    tally.refusals[words] += len(refusal.cases)
    if not refusal.expected:
        case = refusal.cases[0]
        tally.disagreements.append(Disagreement("generator fails", case, "null", refusal.message))
