"""The files of clients in a browser: ``enkaku.js`` and its types, ``enkaku.d.ts``."""

from pathlib import Path
from typing import Final

__all__ = ["SCRIPT", "TYPES"]

SCRIPT: Final = Path(__file__).parent / "enkaku.js"
TYPES: Final = Path(__file__).parent / "enkaku.d.ts"
