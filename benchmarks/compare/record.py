"""The record that all peers exchange: about 100 bytes of JSON, or more with a long label."""

from functools import cache
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

__all__ = ["Figures", "Record", "WrongRecord", "check", "make", "make_label"]

BASE: Final = 123_456_789
_LABEL: Final = "host-0001 production eu-west"


class Figures(Protocol):
    """The interface of a record, which each peer's own class implements."""

    @property
    def cpu(self) -> float:
        """Percent."""
        ...

    @property
    def memory(self) -> int:
        """Bytes; encodes the record's number."""
        ...

    @property
    def timestamp(self) -> float:
        """Seconds since 1970."""
        ...

    @property
    def label(self) -> str:
        """A string whose length determines the record's size."""
        ...


class Record(BaseModel):
    """A record as a plain pydantic model."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpu: float
    memory: int
    timestamp: float
    label: str


class WrongRecord(Exception):
    """A received record differs from the expected one."""


@cache
def make_label(size: int) -> str:
    """Return a label, longer than the shortest one by a number of characters."""
    return _LABEL + "x" * size


def make(number: int, label_size: int = 0) -> Record:
    """Return the record of a number, validated."""
    return Record(
        cpu=12.5,
        memory=BASE + number,
        timestamp=1764000000.123,
        label=make_label(label_size),
    )


def check(record: Figures, number: int) -> None:
    """Raise WrongRecord unless a record is the one of this number."""
    if record.memory != BASE + number:
        raise WrongRecord(f"expected record {number:,}, got {record.memory - BASE:,}")
