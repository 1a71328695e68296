"""The errors that a protocol declares: bases of the generated classes.

Above it: procedures, which list them, and generated code. Below it: the tree of errors.
"""

from typing import ClassVar, Generic, TypeVar

from typing_extensions import TypeForm

from .checked import Checked
from .errors import CallError, UsageError

__all__ = ["DeclaredDataError", "DeclaredError"]

_Data_co = TypeVar("_Data_co", covariant=True)


class DeclaredError(CallError):
    """An error that a protocol declares: a handler raises it, and its caller catches the same class.

    Generated code subclasses it, one class for each declared error::

        class OutOfStock(DeclaredError, code="OUT_OF_STOCK"): ...

    Args:
        message: Says what happened, for people; at most 4,096 characters cross the wire.
        code: Only where the declaration leaves the code open.

    Raises:
        UsageError: The declaration leaves the code open, and none was given.
    """

    declared_code: ClassVar[str | None] = None
    declared_data: ClassVar[TypeForm[object] | Checked[object] | None] = None

    def __init_subclass__(cls, *, code: str | None = None, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if code is not None:
            cls.declared_code = code

    def __init__(self, message: str, *, code: str | None = None) -> None:
        chosen = code if code is not None else self.declared_code
        if chosen is None:
            raise UsageError(
                f"{type(self).__name__} declares no code of its own: give one, code='...'"
            )
        super().__init__(chosen, message)


class DeclaredDataError(DeclaredError, Generic[_Data_co]):
    """A declared error that carries data.

    Generated code subclasses it::

        class OutOfStock(DeclaredDataError[OutOfStockData], code="OUT_OF_STOCK", data=OutOfStockData): ...

    Args:
        message: Says what happened, for people; at most 4,096 characters cross the wire.
        data: What the declaration says that the error carries.
        code: Only where the declaration leaves the code open.

    Raises:
        UsageError: The declaration leaves the code open, and none was given.
    """

    def __init_subclass__(
        cls,
        *,
        code: str | None = None,
        data: TypeForm[_Data_co] | Checked[_Data_co] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init_subclass__(code=code, **kwargs)
        if data is not None:
            cls.declared_data = data

    def __init__(self, message: str, data: _Data_co, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self._data = data

    @property
    def data(self) -> _Data_co:
        """What the error carries, as the protocol declares it."""
        return self._data  # type: ignore[return-value] # set by the constructor
