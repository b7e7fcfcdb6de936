"""Commands that open the debugger's screen; torch and textual are imported only here, and only when they must."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.commands.recordings import recording_path
from tracetui.commands.restore_session import last_of, recalled_recording, recording_name
from tracetui.commands.run_page import run_offer
from tracetui.commands.terminal import require_terminal
from tracetui.formats.collector import collector_paused_for_good

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracetui.analysis.diff.rounding.tolerance import Limits
    from tracetui.analysis.mapping.rules import Rules
    from tracetui.recipe import Recipe
    from tracetui.recording.trace import Trace
    from tracetui.tracer.quantised.measure import Measurement
    from tracetui.ui.app import TracetuiApp


def run(arguments: Namespace) -> int:
    """Open the debugger; returns its exit status."""
    from tracetui.commands.ranked import is_ranked

    if is_ranked(arguments):
        from tracetui.commands.ranked_run import ranked_run

        return ranked_run(arguments)
    require_terminal("run:", "`tracetui trace`")
    with collector_paused_for_good():
        app = debugger_app(arguments)
        from tracetui.ui.terminal.last_resort import run_app

    return run_app(app)


def tour(arguments: Namespace) -> int:
    """Open the debugger on a small model, with the tour over it; nothing of it is remembered."""
    require_terminal("tour:", "`tracetui trace`")
    os.environ.setdefault("TEXTUAL_FPS", "120")
    with collector_paused_for_good():
        from tracetui.commands.start_page import page_of_recipe
        from tracetui.debugger.home.tour import MODEL
        from tracetui.recipe import load_recipe
        from tracetui.tracer.live import LiveSession
        from tracetui.ui.app import TracetuiApp
        from tracetui.ui.terminal.last_resort import run_app

    recipe = load_recipe(MODEL)
    page = replace(page_of_recipe(recipe), tour=True)
    return run_app(TracetuiApp(lambda listener: LiveSession(recipe, listener), page))


def debugger_app(arguments: Namespace) -> TracetuiApp:
    """The application of `tracetui run`, not running yet. Raises InputError."""
    recipe, offer = run_offer(arguments)
    from tracetui.tracer.live import LiveSession
    from tracetui.ui.app import TracetuiApp

    return TracetuiApp(lambda listener: LiveSession(recipe, listener), offer)


def open_trace(arguments: Namespace) -> int:
    """Show a recording in the debugger; returns its exit status."""
    from tracetui.debugger.recorded_session import RecordedSession, open_recording

    path = recording_path(arguments.trace)
    recording = open_recording(path)
    require_terminal("open:", "`tracetui info`")
    os.environ.setdefault("TEXTUAL_FPS", "120")
    with collector_paused_for_good():
        from tracetui.debugger.start_page import page_of_recording
        from tracetui.ui.app import TracetuiApp
        from tracetui.ui.terminal.last_resort import run_app

    offer = page_of_recording(recording, path)
    last = last_of(recording_name(path), arguments.fresh, arguments.reset_layout)
    offer = replace(
        offer,
        stops=last.note.stops if last.found.there else offer.stops,
        recalled=recalled_recording(last),
    )
    app = TracetuiApp(lambda listener: RecordedSession(recording, listener), offer)
    return run_app(app)


def diff_screen(arguments: Namespace, a: Trace, b: Trace, rules: Rules, limits: Limits) -> int:
    """Show two traces beside each other. Returns its exit status."""
    require_terminal("diff: --tui", "`tracetui diff A B`")
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from tracetui.debugger.recorded_session import RecordedSession
    from tracetui.debugger.start_page import page_of_recording
    from tracetui.headless import rerun_exactly
    from tracetui.ui.app import TracetuiApp
    from tracetui.ui.diff_screen.screen import DiffScreen
    from tracetui.ui.diff_screen.work import Comparing
    from tracetui.ui.terminal.last_resort import run_app

    names = (arguments.a, arguments.b)

    def rerun(look_out: Callable[[], None]) -> tuple[str, Trace]:
        return rerun_exactly((a, b), names, arguments.model, lambda event: look_out())

    def measure(original: str) -> Measurement:
        from tracetui.commands.measured_models import measurement_of_traces

        if original == "A":
            return measurement_of_traces(a, b, names)
        return measurement_of_traces(b, a, (names[1], names[0]))

    asked = Comparing(a, b, names, rules, limits, arguments.fuzzy, rerun, arguments.noise, measure=measure)
    app = TracetuiApp(
        lambda listener: RecordedSession(a, listener),
        page_of_recording(a, Path(arguments.a)),
        partial(DiffScreen, asked, is_alone=True),
    )
    return run_app(app)


def quantised_screen(original: Recipe, quantised: Recipe, every_matrix: bool) -> int:
    """Measure what quantising did, and show it. Returns the screen's exit status."""
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from tracetui.debugger.recorded_session import RecordedSession
    from tracetui.debugger.start_page import StartPage
    from tracetui.recording.trace import EMPTY_TRACE
    from tracetui.ui.app import TracetuiApp
    from tracetui.ui.quantised_screen.measuring import Quantised
    from tracetui.ui.quantised_screen.screen import QuantisedScreen
    from tracetui.ui.terminal.last_resort import run_app

    def prepare() -> Measurement:
        from tracetui.tracer.quantised.measure import Measurement

        return Measurement(original, quantised, original.prompts, every_matrix)

    asked = Quantised((original.name, quantised.name), prepare)
    app = TracetuiApp(
        lambda listener: RecordedSession(EMPTY_TRACE, listener),
        StartPage(original.name, recording="nothing is recorded"),
        partial(QuantisedScreen, asked, is_alone=True),
    )
    return run_app(app)
