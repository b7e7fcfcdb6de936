"""Compiles tracetui's C code where there is a compiler when it is installed; without one the package is pure Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

NATIVE = Path("tracetui", "native")
LIBRARY = NATIVE / "libtracetui.so.8"
# Sums must have the same bits on every processor: no product is joined with a sum, and none is put in another order.
FLAGS = ("-O3", "-fPIC", "-shared", "-std=gnu11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror")


class CompileNative(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the library beside its source, and into the wheel, which then is this platform's alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        library = Path(self.root, LIBRARY)
        for compiled in library.parent.glob(f"{library.stem}.*"):  # of earlier sources too
            compiled.unlink()
        if not compile_native(sorted(Path(self.root, NATIVE).glob("*.c")), library):
            self.app.display_warning("no C compiler: statistics are computed by numpy, several times slower")
            return
        build_data["artifacts"].append(LIBRARY.as_posix())
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{os.environ.get('TRACETUI_PLATFORM') or next(platform_tags())}"


def compile_native(sources: Sequence[Path], library: Path) -> bool:
    """Compile with $CC, or the compiler that is there; whether that went well."""
    compiler = (
        os.environ.get("CC", "").split() or [path for path in map(shutil.which, ("cc", "gcc", "clang")) if path][:1]
    )
    if not compiler or os.environ.get("TRACETUI_NATIVE") == "0":
        return False
    done = subprocess.run(
        [*compiler, *FLAGS, "-o", library, *sources, "-lm"], capture_output=True, text=True, check=False
    )
    return done.returncode == 0
