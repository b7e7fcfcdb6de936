"""The command that tells what quantising a model did."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.commands.measured_models import with_weights
from tracetui.commands.output_file import writable_file
from tracetui.recipe import Recipe, load_recipe
from tracetui.recipe.options import apply_options, flag_of, read_options

if TYPE_CHECKING:
    from tracetui.analysis.quantised.damage import QuantisationReport


def quantised(arguments: Namespace) -> int:
    """Swap a quantised model's weights into the original, part by part, and tell what each does."""
    from tracetui.commands.read_options import read_prompts
    from tracetui.commands.terminal import require_terminal
    from tracetui.options.run import OF_TWO_MODELS

    if arguments.tui:
        require_terminal("quantised: --tui", "the same without --tui")
    output = None if arguments.html is None else writable_file(arguments.html, "--html")
    options = {name: getattr(arguments, name) for name in OF_TWO_MODELS}
    values = read_options({**options, "prompt": read_prompts(options["prompt"])}, flag_of)
    original = with_weights(apply_options(load_recipe(arguments.original), values, flag_of))
    other = {name: value for name, value in values.items() if name == "layers"}
    second = with_weights(apply_options(load_recipe(arguments.quantised), other, flag_of))
    if arguments.tui:
        from tracetui.commands.screen import quantised_screen

        return quantised_screen(original, second, arguments.all)
    report = _measured(original, second, arguments.all)
    for line in _told(report, arguments, output):
        print(line)
    return 0


def _measured(original: Recipe, second: Recipe, every_matrix: bool) -> QuantisationReport:
    from tracetui.tracer.quantised.measure import Measurement

    progress = _Progress()
    try:
        return Measurement(original, second, original.prompts, every_matrix).run(progress)
    finally:
        progress("", 0, 0)


def _told(report: QuantisationReport, arguments: Namespace, output: Path | None) -> Iterable[str]:
    if output is not None:
        from tracetui.export.command import written
        from tracetui.export.report.quantised import write_quantised

        return written(output, (), partial(write_quantised, report))
    from tracetui.views.quantised.lines import quantised_lines
    from tracetui.views.quantised.tables import quantised_csv, quantised_json

    if arguments.json or arguments.csv:
        return quantised_json(report) if arguments.json else quantised_csv(report)
    return quantised_lines(report, arguments.all)


class _Progress:
    """One line on the terminal that says what is measured now."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __call__(self, what: str, done: int, count: int) -> None:
        if self._shows:
            text = f"{what}, {done:,} of {count:,}" if count else what
            print(f"\r{text[:78]:<78}\r", end="", file=sys.stderr, flush=True)
