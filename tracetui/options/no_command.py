"""What somebody may have meant who typed no command: mostly a file, or a model."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from tracetui.paths import demo_configs
from tracetui.text import visible

_RECORDINGS = (".npz", ".npy")


def no_command(word: str, commands: Sequence[str]) -> str:
    """Names the command that the word may stand behind, or the one it is nearly."""
    shown = visible(shlex.quote(word), 300)
    if word.endswith(_RECORDINGS):
        return f"{shown}: is no command; `tracetui open {shown}` opens a recording"
    if _may_be_model(word):
        return f"{shown}: is no command; `tracetui run {shown}` debugs a model"
    near = get_close_matches(word, commands, n=1)
    meant = f"is `tracetui {near[0]}` meant? " if near else ""
    return f"{shown}: is no command; {meant}there are {', '.join(commands)}; `tracetui --help` says what each does"


def _may_be_model(word: str) -> bool:
    """By what it looks like, and by what lies there or ships with tracetui."""
    try:
        lies_there = Path(word).exists() or (demo_configs() / f"{word}.toml").exists()
    except (OSError, ValueError):
        return False
    return lies_there or word.count("/") == 1
