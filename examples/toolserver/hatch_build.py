"""Generate the package of the protocol whenever this project is built or installed."""

import subprocess
import sys
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Generate(BuildHookInterface[BuilderConfig]):
    """Runs ``enkaku generate``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the package before its files are collected."""
        command = ("generate", "protocol.yaml", "--out", "src/toolserver/protocol")
        subprocess.run(
            [sys.executable, "-m", "enkaku_codegen", *command], cwd=self.root, check=True
        )
