"""The extra ``tools``: with it, every command finds what it imports."""

import re
import tomllib
from pathlib import Path

from enkaku_codegen.commands.main import COMMANDS

EXTRAS = tomllib.loads((Path(__file__).parent.parent.parent / "pyproject.toml").read_text())[
    "project"
]["optional-dependencies"]


def test_tools_extra_includes_those_of_all_commands() -> None:
    (others,) = [each for each in EXTRAS["tools"] if each.startswith("enkaku[")]
    included = {*re.findall(r"\w+", others)} - {"enkaku"}
    assert included <= {*EXTRAS}
    assert {each.extra for each in COMMANDS} <= included | {"tools"}
