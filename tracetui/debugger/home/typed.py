"""What somebody means who types or pastes a line on the home screen."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tracetui import paths

COMMANDS = ("run", "open", "tour")
"""Those that open a screen, and so may follow this one."""
_WEIGHTS, _TRACE = ".safetensors", ".npz"
_SHELL_PROMPT = "$ "


def typed_command(line: str) -> tuple[str, ...]:
    """The command that a line stands for: a path, a recipe's name, a hub id, or a whole `tracetui run …`.

    Empty for an empty line. A recording is opened, anything else is run.
    """
    line = line.strip().removeprefix(_SHELL_PROMPT).strip()
    words = _words(line)
    if words and words[0] == "tracetui" and len(words) > 1:
        words = words[1:]
        return tuple(words)
    if len(words) > 1 and words[0] in COMMANDS:
        return tuple(words)
    name = line if _exists(line) or len(words) != 1 else words[0]
    if name.startswith("file://"):
        name = unquote(urlsplit(name).path)
    return (("open" if is_recording(paths.expanded(name)) else "run"), name) if name else ()


def is_recording(path: Path) -> bool:
    """Whether a name is that of tensors to look at, and not of a model: weights beside a config.json are one."""
    if path.suffix == _TRACE:
        return True
    return path.suffix == _WEIGHTS and not (path.parent / "config.json").exists()


def _words(line: str) -> list[str]:
    """As a shell cuts it: terminals paste the name of a dropped file in quotes, or with backslashes."""
    try:
        return shlex.split(line)
    except ValueError:
        return [line]


def _exists(name: str) -> bool:
    try:
        return paths.expanded(name).exists()
    except (OSError, ValueError):
        return False
