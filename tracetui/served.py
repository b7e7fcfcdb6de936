"""Whether the screen of this process is shown in a browser, and not in a terminal."""

from __future__ import annotations

import os

SERVED = "TRACETUI_SERVED"
"""Set by the server for the programs that it starts."""


NOT_SERVED = "in a browser there is this model or recording alone: no other file is opened"


def is_served() -> bool:
    """Whoever looks on may not be the one whose machine this is: no file of it is opened or written for them."""
    return bool(os.environ.get(SERVED))
