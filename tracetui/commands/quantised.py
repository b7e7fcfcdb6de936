"""The command that tells what quantising a model did."""

from __future__ import annotations

import sys
from argparse import Namespace

from tracetui.errors import InputError
from tracetui.recipe import Recipe, load_recipe
from tracetui.recipe.options import apply_options, flag_of, read_options


def quantised(arguments: Namespace) -> int:
    """Swap a quantised model's weights into the original, part by part, and tell what each does."""
    from tracetui.commands.read_options import read_prompts
    from tracetui.options.run import OF_TWO_MODELS

    options = {name: getattr(arguments, name) for name in OF_TWO_MODELS}
    values = read_options({**options, "prompt": read_prompts(options["prompt"])}, flag_of)
    original = _with_weights(apply_options(load_recipe(arguments.original), values, flag_of))
    other = {name: value for name, value in values.items() if name == "layers"}
    second = _with_weights(apply_options(load_recipe(arguments.quantised), other, flag_of))
    from tracetui.tracer.quantised.measure import measure
    from tracetui.views.quantised.lines import quantised_lines
    from tracetui.views.quantised.tables import quantised_csv, quantised_json

    progress = _Progress()
    try:
        report = measure(original, second, original.prompts, progress, arguments.all)
    finally:
        progress("", 0, 1)
    if arguments.json or arguments.csv:
        lines = quantised_json(report) if arguments.json else quantised_csv(report)
    else:
        lines = quantised_lines(report, arguments.all)
    for line in lines:
        print(line)
    return 0


def _with_weights(recipe: Recipe) -> Recipe:
    from tracetui.models.checkpoints.forms import check_weight_files
    from tracetui.recipe.hub import with_cached_weights

    recipe = with_cached_weights(recipe)
    if recipe.weights is None:
        raise InputError(f"{recipe.name}: has no weights of its own; a folder or file with some is needed")
    check_weight_files(recipe)
    return recipe


class _Progress:
    """One line on the terminal that says what is measured now."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __call__(self, what: str, done: int, count: int) -> None:
        if self._shows:
            text = f"{what} {done} of {count}" if count > 1 else what
            print(f"\r{text[:78]:<78}\r", end="", file=sys.stderr, flush=True)
