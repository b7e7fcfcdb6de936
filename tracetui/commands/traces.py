"""Commands that write or compare traces without a screen."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.commands.output_file import recording_file, writable_file
from tracetui.commands.recordings import recording_path
from tracetui.errors import InputError
from tracetui.file_kinds import is_gguf

if TYPE_CHECKING:
    from tracetui.analysis.diff.report import Report
    from tracetui.analysis.diff.rounding.noise import NoiseReport
    from tracetui.analysis.diff.rounding.tolerance import Limits
    from tracetui.analysis.mapping.rules import Rules
    from tracetui.json_lines import JsonLines
    from tracetui.recording.trace import Trace


def trace(arguments: Namespace) -> int:
    """Run a prompt to its end and write what was recorded."""
    from tracetui.commands.ranked import is_ranked

    if is_ranked(arguments):
        from tracetui.commands.ranked_trace import ranked_trace

        return ranked_trace(arguments)
    if not arguments.json:
        return _traced(arguments)
    from tracetui.json_lines import JsonLines

    lines = JsonLines(persists=arguments.output is not None)
    with lines.last_said():
        return _traced(arguments, lines)


def _traced(arguments: Namespace, lines: JsonLines | None = None) -> int:
    from tracetui.commands.read_options import check_places, read_recipe, read_stops

    output = None if arguments.output is None else recording_file(arguments.output)
    said_stops = read_stops(arguments)
    recipe = read_recipe(arguments)
    check_places(recipe, said_stops)
    from tracetui.headless import Stops, run_and_write

    stops = Stops(said_stops)
    try:
        for line in run_and_write(recipe, output, lines, arguments.compress, stops):
            print(line)
    except InputError as error:
        if not str(error).startswith("generate:"):
            raise
        # The model side doesn't know what the number of tokens is called here.
        raise InputError(f"--{error}") from error
    return 1 if stops.hits else 0


def info(arguments: Namespace) -> int:
    """Tell what is in a trace file, or what a GGUF file says of its model."""
    path = recording_path(arguments.trace)
    if is_gguf(path):
        return _info_of_gguf(path, arguments)
    from tracetui.recording.dumps.npy_folder import is_npy_folder, npy_files
    from tracetui.recording.ranks.files import is_rank_folder, rank_paths
    from tracetui.recording.ranks.folder import open_run

    lines: Iterable[str]
    recorded = open_run(path)
    files = npy_files(path) if is_npy_folder(path) and not is_rank_folder(path) else rank_paths([path])
    size = sum(each.stat().st_size for each in files)
    checked = _checked(path, recorded) if arguments.check else None
    if arguments.json:
        from tracetui.export.tables import info_json

        lines = info_json(recorded, arguments.trace, size)
    else:
        from tracetui.recording.summary import describe

        lines = describe(recorded, size)
    for line in lines:
        print(line)
    if checked is not None and not arguments.json:
        print(checked)
    return 0


def _checked(path: Path, recorded: Trace) -> str:
    from tracetui.analysis.stated_statistics import check_statistics
    from tracetui.recording.dumps.checksums import check_values
    from tracetui.recording.npz.file_records import FileValue
    from tracetui.recording.ranks.files import rank_paths

    lines = [check_values(each) for each in rank_paths([path])]
    # A dump states none: they would be held against themselves.
    if any(isinstance(value, FileValue) for value in recorded.values):
        lines.append(check_statistics(recorded, str(path)))
    return "\n".join(lines)


def _info_of_gguf(path: Path, arguments: Namespace) -> int:
    from tracetui.formats.gguf.files import read_files
    from tracetui.views.gguf_lines import gguf_json, gguf_lines

    if arguments.check:
        raise InputError("--check: a GGUF file has no checksums; its header is checked whenever it is read")
    files = read_files(path)
    for line in [gguf_json(files, arguments.trace)] if arguments.json else gguf_lines(files):
        print(line)
    return 0


def diff(arguments: Namespace) -> int:
    """Compare two traces; returns 0 if they are the same, 1 if not."""
    from tracetui.headless import told_report
    from tracetui.recording.ranks.folder import open_run
    from tracetui.views.diff.as_json import diff_json
    from tracetui.views.diff.report import diff_lines

    if arguments.print_map and (arguments.json or arguments.tui or arguments.noise):
        raise InputError("--print-map: prints a map and no more, so not with --json, --tui or --noise")
    rules, limits = _comparing(arguments)
    a, b = (open_run(recording_path(path)) for path in (arguments.a, arguments.b))
    names = (arguments.a, arguments.b)
    if arguments.tui:
        from tracetui.commands.screen import diff_screen

        return diff_screen(arguments, a, b, rules, limits)
    report = told_report(a, b, rules, limits, arguments.fuzzy)
    if arguments.print_map:
        from tracetui.analysis.mapping.written import map_lines

        print(*map_lines(report.proposals), sep="\n")
        return 0 if report.comparison.same else 1
    noise = None if not arguments.noise else _noise(report, names, arguments.model)
    for line in diff_json(report, noise) if arguments.json else diff_lines(report, names, arguments.all, noise=noise):
        print(line)
    return 0 if report.comparison.same else 1


def export(arguments: Namespace) -> int:
    """Write a trace's statistics, values or pictures, or a report, in other forms."""
    if arguments.html is not None and arguments.output is not None:
        raise InputError("--output: --html names its file itself")
    to = arguments.output if arguments.html is None else arguments.html
    output = None if to is None else writable_file(to)
    from tracetui.export.command import export
    from tracetui.headless import told_report

    for name in filter(None, (arguments.trace, arguments.diff)):
        recording_path(name)
    rules, limits = _comparing(arguments)
    for line in export(arguments, output, lambda a, b: told_report(a, b, rules, limits, arguments.fuzzy)):
        print(line)
    return 0


def _noise(report: Report, names: tuple[str, str], model: str | None) -> NoiseReport:
    from tracetui.analysis.diff.rounding.noise import measure_noise
    from tracetui.headless import told_rerun

    return measure_noise(report, *told_rerun((report.comparison.a, report.comparison.b), names, model))


def _comparing(arguments: Namespace) -> tuple[Rules, Limits]:
    """What two traces are compared by. Raises InputError."""
    from tracetui.analysis.diff.rounding.tolerance import Limits
    from tracetui.analysis.mapping.rules import Rules, read_rules

    limits = Limits(_limit("--rtol", arguments.rtol), _limit("--atol", arguments.atol))
    return Rules() if arguments.map is None else read_rules(Path(arguments.map)), limits


def _limit(option: str, limit: float | None) -> float | None:
    if limit is not None and not (math.isfinite(limit) and limit >= 0):
        raise InputError(f"{option}: must be a number from 0 on, got {limit}")
    return limit
