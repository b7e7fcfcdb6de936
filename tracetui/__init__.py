"""tracetui: a terminal debugger for the forward pass of language models.

What is public here is explained in docs/api.md; importing this loads no library before one is used.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "Attention": "tracetui.api.attention",
    "Debugged": "tracetui.api.debugging",
    "Diff": "tracetui.api.differences",
    "InputError": "tracetui.errors",
    "Routing": "tracetui.api.routing",
    "StopHit": "tracetui.api.stops",
    "RunError": "tracetui.errors",
    "Trace": "tracetui.api.trace",
    "debug": "tracetui.api.debugging",
    "diff": "tracetui.api.differences",
    "open_trace": "tracetui.api.opening",
    "stops": "tracetui.api.stops",
    "trace": "tracetui.api.recording",
}
"""Where each public name lies; their types are in __init__.pyi."""


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tracetui' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
