"""Commands that write or compare traces without a screen."""

from __future__ import annotations

import math
import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.errors import InputError

if TYPE_CHECKING:
    from tracetui.analysis.diff.report import Report
    from tracetui.analysis.diff.rounding.noise import NoiseReport
    from tracetui.analysis.diff.rounding.tolerance import Limits
    from tracetui.analysis.mapping.rules import Rules
    from tracetui.json_lines import JsonLines


def trace(said: Namespace) -> int:
    """Run a prompt to its end and write what was recorded."""
    if not said.json:
        return _traced(said)
    from tracetui.json_lines import JsonLines

    lines = JsonLines(persists=said.output is not None)
    with lines.last_said():
        return _traced(said, lines)


def _traced(said: Namespace, lines: JsonLines | None = None) -> int:
    from tracetui.commands.read_options import read_recipe, read_stops

    output = None if said.output is None else _output(said.output)
    said_stops = read_stops(said)
    recipe = read_recipe(said)
    from tracetui.headless import Stops, run_and_write

    stops = Stops(said_stops)
    for line in run_and_write(recipe, output, lines, said.compress, stops):
        print(line)
    return 1 if stops.hits else 0


def info(said: Namespace) -> int:
    """Tell what is in a trace file."""
    from tracetui.export.tables import info_json
    from tracetui.recording.dumps import open_recorded
    from tracetui.recording.dumps.checksums import check_values
    from tracetui.recording.summary import describe

    path = Path(said.trace)
    found, size = open_recorded(path), path.stat().st_size
    checked = check_values(path) if said.check else None
    for line in info_json(found, said.trace, size) if said.json else describe(found, size):
        print(line)
    if checked is not None and not said.json:
        print(checked)
    return 0


def diff(said: Namespace) -> int:
    """Compare two traces; returns 0 if they are the same, 1 if not."""
    from tracetui.headless import told_report
    from tracetui.recording.dumps import open_recorded
    from tracetui.views.diff.as_json import diff_json
    from tracetui.views.diff.report import diff_lines

    rules, limits = _comparing(said)
    a, b = (open_recorded(Path(path)) for path in (said.a, said.b))
    names = (said.a, said.b)
    if said.tui:
        from tracetui.commands.screen import diff_screen

        return diff_screen(said, a, b, rules, limits)
    found = told_report(a, b, rules, limits, said.fuzzy)
    noise = None if not said.noise else _noise(found, names, said.model)
    for line in diff_json(found, noise) if said.json else diff_lines(found, names, said.all, noise=noise):
        print(line)
    return 0 if found.comparison.same else 1


def export(said: Namespace) -> int:
    """Write a trace's statistics, values or pictures, or a report, in other forms."""
    if said.html is not None and said.output is not None:
        raise InputError("--output: --html names its file itself")
    to = said.output if said.html is None else said.html
    output = None if to is None else _output(to)
    from tracetui.export.command import export
    from tracetui.headless import told_report

    rules, limits = _comparing(said)
    for line in export(said, output, lambda a, b: told_report(a, b, rules, limits, said.fuzzy)):
        print(line)
    return 0


def _noise(found: Report, names: tuple[str, str], model: str | None) -> NoiseReport:
    from tracetui.analysis.diff.rounding.noise import measure_noise
    from tracetui.headless import told_rerun

    return measure_noise(found, *told_rerun((found.comparison.a, found.comparison.b), names, model))


def _comparing(said: Namespace) -> tuple[Rules, Limits]:
    """What two traces are compared by. Raises InputError."""
    from tracetui.analysis.diff.rounding.tolerance import Limits
    from tracetui.analysis.mapping.rules import Rules, read_rules

    limits = Limits(_limit("--rtol", said.rtol), _limit("--atol", said.atol))
    return Rules() if said.map is None else read_rules(Path(said.map)), limits


def _limit(option: str, said: float | None) -> float | None:
    if said is not None and not (math.isfinite(said) and said >= 0):
        raise InputError(f"{option}: must be a number from 0 on, got {said}")
    return said


def _output(said: str) -> Path:
    """Where a trace shall go, refused before the model runs if it can't be written. Raises InputError."""
    path = Path(said)
    folder = path.absolute().parent
    try:
        if not path.name:
            problem = "names no file"
        elif path.is_dir():
            problem = "is a folder"
        elif path.exists() and not path.is_file():
            problem = "is not a regular file"
        elif not folder.is_dir():
            problem = "its folder doesn't exist"
        else:
            problem = "" if os.access(folder, os.W_OK | os.X_OK) else "its folder can't be written to"
    except OSError as error:
        problem = error.strerror or "can't be used"
    if problem:
        raise InputError(f"--output: {said or repr(said)}: {problem}")
    return path
