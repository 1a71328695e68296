"""Check the package of the protocol whenever a wheel or an sdist of this project is built."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Check(BuildHookInterface[BuilderConfig]):
    """Runs ``enkaku check``, but neither in an sdist, which was checked, nor for an editable installation."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fail if the package is out of date."""
        is_sdist = Path(self.root, "PKG-INFO").exists()
        if version != "editable" and not is_sdist:
            command = [sys.executable, "-m", "enkaku_codegen", "check"]
            subprocess.run(command, cwd=self.root, check=True)
