"""What is compiled."""

from __future__ import annotations

from pathlib import Path

import hatch_build

SOURCES = sorted((Path(hatch_build.__file__).parent / hatch_build.NATIVE).glob("*.c"))
