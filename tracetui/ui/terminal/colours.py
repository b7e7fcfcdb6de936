"""How many colours the terminal has: what it declares, and inside tmux what the terminal around that declares."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

from textual.app import App

from tracetui.views.heatmap.depth import Depth

_FEW = ("standard", "windows")
_SECONDS = 0.5
_ASK = ("tmux", "display-message", "-p", "#{client_termfeatures}")


def depth_of(app: App[Any], environ: Mapping[str, str] = os.environ) -> Depth:
    """How maps are drawn: TEXTUAL_COLOR_SYSTEM and NO_COLOR have their say, then COLORTERM and TERM, then tmux."""
    system = app.console.color_system
    if app.no_color or system in _FEW:
        return Depth.NONE
    if system == "256":
        return Depth.INDEXED
    in_tmux = environ.get("TMUX") and environ.get("TEXTUAL_COLOR_SYSTEM", "auto") == "auto"
    return Depth.INDEXED if in_tmux and not tmux_passes_all(environ["TMUX"]) else Depth.TRUE


@cache
def tmux_passes_all(server: str) -> bool:
    """Whether the terminal around tmux has all colours: tmux says so of itself, and shows one of 256 for each.

    server: the variable TMUX. Asks tmux, once; True where it can't be asked.
    """
    try:
        answer = subprocess.run(_ASK, capture_output=True, text=True, timeout=_SECONDS, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return True
    return "RGB" in answer.stdout.strip().split(",")
