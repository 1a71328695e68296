"""Compiles the core of the runtime, where whoever builds a wheel asks for it: ``HATCH_BUILD_HOOKS_ENABLE=1``.

Hatchling runs this; pyproject.toml says which modules are compiled. What is made lies outside of the source: a compiled
module beside it would be imported in its place from then on, and not change with it.
"""

import importlib
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.builders.wheel import WheelBuilderConfig
from typing_extensions import override

__all__ = ["CoreHook"]

_PACKAGE: Final = "enkaku"


class CoreHook(BuildHookInterface[WheelBuilderConfig]):
    """Adds compiled modules to a wheel. Their source stays in it, for tracebacks and for type checkers."""

    @override
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the wheel is one that only points to the source."""
        if version == "editable":
            return
        self._made = TemporaryDirectory(prefix="enkaku-")
        made = Path(self._made.name)
        errors = importlib.import_module("setuptools.errors")
        try:
            libraries = compile_modules(Path(self.root, "runtime"), self.config["modules"], made)
        except (errors.CompileError, errors.LinkError, errors.PlatformError) as error:
            raise SystemExit(
                f"The core of enkaku cannot be compiled: {error}. That takes a C compiler and the headers of Python; "
                "without HATCH_BUILD_HOOKS_ENABLE the wheel is built without both, and does the same."
            ) from None
        build_data["force_include"] |= {str(made / path): str(path) for path in libraries}
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    @override
    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel now."""
        if version != "editable":
            self._made.cleanup()


def compile_modules(source: Path, modules: list[str], out: Path) -> list[Path]:
    """Compile modules of the runtime.

    Args:
        source: Where the package is.
        modules: Their names below the package.
        out: Where to put what is made.

    Returns:
        The paths of the libraries, below ``out``: one with all the code, and one for each module that leads to it.
    """
    # There are neither mypy nor setuptools where nothing is to be compiled.
    mypycify = importlib.import_module("mypyc.build").mypycify
    distribution = importlib.import_module("setuptools").Distribution
    with TemporaryDirectory(prefix="enkaku-") as scratch, chdir(source):
        # These are the paths that tracebacks name: those of this machine would mean nothing elsewhere.
        paths = [f"{_PACKAGE}/{module}.py" for module in modules]
        extensions = mypycify(
            # What an extra brings need not be there; the source has been checked before.
            ["--ignore-missing-imports", "--config-file=", f"--cache-dir={scratch}/types", *paths],
            target_dir=scratch,
            group_name=_PACKAGE,
            debug_level="0",
        )
        build = distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        build.build_lib, build.build_temp = str(out), scratch
        build.ensure_finalized()
        build.run()
    return sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
