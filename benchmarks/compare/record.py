"""The value that every peer carries: about 100 bytes of JSON, or as much more as its label is long."""

from functools import cache
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

__all__ = ["Figures", "Record", "WrongRecord", "check", "make", "make_label"]

BASE: Final = 123_456_789
_LABEL: Final = "host-0001 production eu-west"


class Figures(Protocol):
    """What a record looks like to the workloads, whatever class a peer has for it."""

    @property
    def cpu(self) -> float:
        """Percent."""
        ...

    @property
    def memory(self) -> int:
        """Bytes; the record's number is in it."""
        ...

    @property
    def timestamp(self) -> float:
        """Seconds since 1970."""
        ...

    @property
    def label(self) -> str:
        """A text, long where the record is to be."""
        ...


class Record(BaseModel):
    """A record as a user of pydantic writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cpu: float
    memory: int
    timestamp: float
    label: str


class WrongRecord(Exception):
    """A record came that is not the one that was to come."""


@cache
def make_label(size: int) -> str:
    """Give the label that has so many characters more than the shortest."""
    return _LABEL + "x" * size


def make(number: int, label_size: int = 0) -> Record:
    """Make the record of a number, validated."""
    return Record(
        cpu=12.5,
        memory=BASE + number,
        timestamp=1764000000.123,
        label=make_label(label_size),
    )


def check(record: Figures, number: int) -> None:
    """Raise WrongRecord unless a record is the one of this number."""
    if record.memory != BASE + number:
        raise WrongRecord(f"record {record.memory - BASE:,} came, and {number:,} was to come")
