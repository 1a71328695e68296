"""The files of clients in a browser: the modules ``enkaku.js`` and ``callbacks.js``, and their types."""

from pathlib import Path
from typing import Final

__all__ = ["FILES", "SCRIPTS", "TYPES"]

_FOLDER: Final = Path(__file__).parent
SCRIPTS: Final = (_FOLDER / "enkaku.js", _FOLDER / "callbacks.js")
TYPES: Final = tuple(script.with_suffix(".d.ts") for script in SCRIPTS)
FILES: Final = (*SCRIPTS, *TYPES)
