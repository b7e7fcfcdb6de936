"""The home screen, and the command that is chosen on it."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.commands.terminal import require_terminal
from tracetui.errors import InputError
from tracetui.formats.collector import collector_paused_for_good
from tracetui.startup_line import begin_for

if TYPE_CHECKING:
    from tracetui.debugger.home.rows import HomeRow, HomeSection
    from tracetui.ui.home.screen import HomeReaders


def home(arguments: Namespace) -> int:
    """Show what can be opened until something opens or nothing is wanted, and after the tour; the exit status."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        name = "F.npz" if arguments.prog.endswith(" open") else "MODEL"
        raise InputError(f"the following arguments are required: {name}; `{arguments.prog} --help` lists what there is")
    require_terminal("tracetui:", "`tracetui trace`")
    os.environ.setdefault("TEXTUAL_FPS", "120")
    with collector_paused_for_good():
        from tracetui.ui.home.app import HomeApp
        from tracetui.ui.terminal.last_resort import run_app

    problem = ""
    while True:
        app = HomeApp(_readers(), problem)
        status = run_app(app)
        if not app.chosen:
            return status
        try:
            status, problem = _open(app.chosen, arguments), ""
        except InputError as error:
            status, problem = 0, str(error)
        if not (problem or (app.chosen == ("tour",) and not status)):
            return status


def _open(chosen: tuple[str, ...], arguments: Namespace) -> int:
    from tracetui.commands import command
    from tracetui.options.parser import parse

    begin_for(chosen)
    options = arguments.options if arguments.prog.endswith(f" {chosen[0]}") else ()
    parsed = parse((*chosen, *options))
    parsed.offline = arguments.offline
    return command(parsed.command)(parsed)


def _readers() -> HomeReaders:
    """What is read in the background, and imported there."""
    from tracetui.ui.home.screen import HomeReaders

    return HomeReaders(
        {"Recent": _recent, "Models that ship with tracetui": _shipped, "In the hub's cache": _hub}, _typed, _warm
    )


def _recent() -> HomeSection:
    from tracetui.debugger.home.recent import recent_section

    return recent_section(Path.cwd())


def _shipped() -> HomeSection:
    from tracetui.debugger.home.models import shipped_section

    return shipped_section()


def _hub() -> HomeSection:
    from tracetui.debugger.home.models import hub_section

    return hub_section()


def _typed(line: str) -> HomeRow:
    from tracetui.debugger.home.typed_row import typed_row

    return typed_row(line)


def _warm() -> None:
    """Import the debugger's screen, which whatever is chosen opens."""
    importlib.import_module("tracetui.ui.app")
