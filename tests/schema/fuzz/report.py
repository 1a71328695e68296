"""What the fuzzer found, in words."""

import json
from collections.abc import Iterator

from .compare import Disagreement, Tally

__all__ = ["describe", "summary"]

_JUDGES = {
    "accepted": "refuse it",
    "refused": "accept it",
    "generator fails": "were not asked",
    "slow": "were faster",
}


def describe(found: Disagreement) -> str:
    """Tell of a disagreement, so that it can be had again: the protocol, the instance, who says what."""
    return "\n".join(
        [
            f"{found.kind.upper()}: {found.detail}",
            f"  protocol: {json.dumps(found.case.protocol(), ensure_ascii=False)}",
            f"  instance: {found.text}",
            f"  the judges {_JUDGES.get(found.kind, 'do not refuse it')}",
        ]
    )


def summary(total: Tally) -> Iterator[str]:
    """Give the lines at the end."""
    yield f"{total.accepted} of {total.instances} instances are valid; {total.skipped} without a verdict"
    yield f"{total.proved} of {total.schemas} slots are enforced by their types alone"
    yield f"{total.unjudged} schemas without a judge; the slowest package took {total.slowest:.1f} s"
    for message, count in total.refusals.most_common():
        yield f"{count} schemas are refused: {message}"
