"""What stands for a member that an object does not have, where null would be a value.

Above it: exact, which gives it its meaning in models. Below it: pydantic.
"""

from enum import Enum
from typing import Final, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["ABSENT", "Absent"]


class Absent(Enum):
    """The type of ``ABSENT``; an enumeration of one, so that type checkers narrow on ``is not ABSENT``.

    ``ABSENT`` is false, as None is, and no JSON value: no text is read as it, and none is written for it.
    """

    ABSENT = ...  # what is no JSON: where it is misplaced, no writer takes it for its value

    def __repr__(self) -> str:
        return self.name

    def __bool__(self) -> Literal[False]:
        return False

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


ABSENT: Final = Absent.ABSENT
"""The value of a member that an object does not have."""
