"""The files of clients in a browser: ``enkaku.js``, its part ``login.js``, and ``callbacks.js``; with the types of what programs use."""

from pathlib import Path
from typing import Final

__all__ = ["FILES", "SCRIPTS", "TYPES"]

_FOLDER: Final = Path(__file__).parent
SCRIPTS: Final = (_FOLDER / "enkaku.js", _FOLDER / "login.js", _FOLDER / "callbacks.js")
TYPES: Final = (_FOLDER / "enkaku.d.ts", _FOLDER / "callbacks.d.ts")
FILES: Final = (*SCRIPTS, *TYPES)
