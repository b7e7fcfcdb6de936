"""The user's own keys: `keys.toml` in the config folder, `[keys]` with `id = "key,key"`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tracetui.errors import InputError
from tracetui.formats.toml import TomlError, parse_toml
from tracetui.paths import read_bounded

_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Keymap:
    """The overrides that hold, and what was wrong with the others."""

    keys: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    problems: tuple[str, ...] = ()


def load_keymap(path: Path, known: Callable[[], Collection[str]]) -> Keymap:
    """The overrides in a file; a missing one has none, and a wrong line is reported, never fatal.

    known: the ids of all bindings there are, asked for if the file has any.
    """
    if not path.exists():
        return Keymap()
    try:
        table = parse_toml(read_bounded(path, _LIMIT)).get("keys", {})
    except InputError as error:
        return Keymap(problems=(str(error),))
    except TomlError as error:
        return Keymap(problems=(f"{path}: {error}",))
    if not isinstance(table, dict):
        return Keymap(problems=(f"{path}: keys: must be a table, got {table!r:.60}",))
    return _checked(path, table, known() if table else ())


def _checked(path: Path, table: Mapping[str, object], known: Collection[str]) -> Keymap:
    keys: dict[str, str] = {}
    problems: list[str] = []
    for name, chosen in table.items():
        if name not in known:
            problems.append(f"{path}: keys.{name}: no such command; `?` lists them")
        elif not isinstance(chosen, str) or not chosen.strip(" ,"):
            problems.append(f'{path}: keys.{name}: must be key names such as "n,f10", got {chosen!r:.60}')
        else:
            keys[name] = ",".join(part.strip() for part in chosen.split(",") if part.strip())
    return Keymap(MappingProxyType(keys), tuple(problems))
