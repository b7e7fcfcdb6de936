"""Speed and memory as ratios, each measured side by side in one run."""

from __future__ import annotations

import os

# Installed, tracetui has its bytecode beside it. Without it a start compiles 300 modules, and that is what is measured.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
