"""What a typed line would open, as a row: told while it is typed."""

from __future__ import annotations

from pathlib import Path

from tracetui import paths
from tracetui.debugger.home.recordings import recording_row
from tracetui.debugger.home.rows import HomeRow
from tracetui.debugger.home.typed import typed_command
from tracetui.errors import TracetuiError
from tracetui.recipe import find_hub_id, load_recipe
from tracetui.recipe.factory import parse_factory
from tracetui.recipe.hub import cached_snapshot


def typed_row(line: str) -> HomeRow:
    """Reads the file or configuration that is named; a row without a command says what is wrong with the name."""
    command = typed_command(line)
    if len(command) != 2:
        return HomeRow(" ".join(command) or line, command=command)
    name = command[1]
    try:
        return _recording(name) if command[0] == "open" else HomeRow(name, _model(name), command=command)
    except (TracetuiError, OSError, ValueError) as error:
        return HomeRow(name, str(error).removeprefix(f"{name}: "), alarm=True)


def _recording(name: str) -> HomeRow:
    path = paths.expanded(name)
    if not path.is_file():
        return HomeRow(name, "there is no such file", alarm=True)
    return recording_row(Path(path)) or HomeRow(name, "named tensors", command=("open", name))


def _model(name: str) -> str:
    """In words what would run. Raises InputError."""
    if parse_factory(name) is not None:
        return "a function of yours, which makes the model"
    if (hub_id := find_hub_id(name)) is not None and cached_snapshot(hub_id) is None:
        return "isn't in the hub's cache; Enter asks whether to fetch its configuration"
    return load_recipe(name).title
