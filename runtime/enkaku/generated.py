"""What only generated code uses.

``Model`` is ``enkaku.Model`` for classes that pydantic completes at their first use, so that a large package is imported
quickly. Write ``enkaku.Model`` in code of your own.
"""

from .values.deferred import Model

__all__ = ["Model"]
