"""What each command does, over the layers below; a command's modules are imported when it is called."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable

_MODULES = {
    "config": "about",
    "diff": "traces",
    "export": "traces",
    "home": "home",
    "info": "traces",
    "locate": "about",
    "merge": "merge",
    "models": "about",
    "open_trace": "screen",
    "outline": "about",
    "quantised": "quantised",
    "run": "screen",
    "serve": "serve",
    "tour": "screen",
    "trace": "traces",
}
"""Where each command lies."""


def command(name: str) -> Callable[[Namespace], int]:
    """What runs a command, and returns its exit status."""
    function: Callable[[Namespace], int] = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    return function
