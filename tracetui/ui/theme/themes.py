"""The themes: those that ship with tracetui and the user's own, and which one was chosen last."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tracetui import paths
from tracetui.debugger.memory.switch import switched_off
from tracetui.errors import InputError
from tracetui.formats.toml import TomlError, parse_toml
from tracetui.ui.theme.file import ThemeFile, read_theme

DEFAULT_THEME = "tracetui-dark"
MOST_FILES = 256
"""Each is read before anything is painted."""
_STATE_LIMIT = 64 << 10
_THEME_LINE = re.compile(r"\s*theme\s*=")


def load_themes() -> tuple[dict[str, ThemeFile], list[str]]:
    """Themes by name, and a line for everything that is wrong with one: a wrong theme is left out, never fatal.

    The user's come last: one with a shipped theme's name takes its place.
    """
    themes: dict[str, ThemeFile] = {}
    warnings: list[str] = []
    for folder in (paths.themes(), paths.config_dir() / "themes"):
        for path in _files_told(folder, warnings):
            try:
                theme_file, unused = read_theme(path)
            except InputError as error:
                warnings += str(error).splitlines()
            else:
                themes[theme_file.theme.name] = theme_file
                warnings += unused
    return themes, warnings


def theme_files(folder: Path) -> list[Path]:
    """The theme files in a folder by name, of which no more than `MOST_FILES` are to be read. Raises OSError."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".toml")


def _files_told(folder: Path, warnings: list[str]) -> list[Path]:
    try:
        files = theme_files(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        warnings.append(f"{folder}: can't be read: {error.strerror}")
        return []
    if len(files) > MOST_FILES:
        warnings.append(f"{folder}: holds {len(files):,} themes; the first {MOST_FILES} by name are read")
    return files[:MOST_FILES]


def remembered_theme() -> str:
    """The name of the theme chosen last, or the default's: a state file that makes no sense is no reason to stop."""
    if switched_off():
        return DEFAULT_THEME
    try:
        name = parse_toml(paths.read_bounded(_state_file(), _STATE_LIMIT)).get("theme")
    except (InputError, TomlError):
        return DEFAULT_THEME
    return name if isinstance(name, str) else DEFAULT_THEME


def remember_theme(name: str) -> None:
    """Keep the choice for the next start, beside whatever else the state file says; silent where that fails."""
    if switched_off():
        return
    try:
        _state_file().parent.mkdir(parents=True, exist_ok=True)
        with paths.replacing(_state_file()) as file:
            file.write("\n".join([f"theme = {json.dumps(name)}", *_other_lines(), ""]).encode("utf-8"))
    except OSError:
        return


def _other_lines() -> list[str]:
    try:
        content = paths.read_bounded(_state_file(), _STATE_LIMIT)
        parse_toml(content)
    except (InputError, TomlError):
        return []
    return [line for line in content.decode("utf-8").splitlines() if not _THEME_LINE.match(line)]


def _state_file() -> Path:
    return paths.state_dir() / "ui.toml"
