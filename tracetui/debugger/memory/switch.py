"""Whether anything is remembered from one start to the next."""

from __future__ import annotations

import os

SWITCH = "TRACETUI_NO_SESSION"
"""An environment variable: with anything in it, nothing is remembered."""


def switched_off() -> bool:
    """Whether the user wants nothing remembered."""
    return bool(os.environ.get(SWITCH))
