"""The two models of which it is measured what quantising did."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tracetui.errors import InputError
from tracetui.recipe import Recipe

if TYPE_CHECKING:
    from tracetui.recording.trace import Trace
    from tracetui.tracer.quantised.measure import Measurement


def measurement_of_traces(original: Trace, quantised: Trace, names: tuple[str, str]) -> Measurement:
    """What measures the models of two traces over the first one's prompts.

    names: of the traces, for messages. Raises InputError where a model can't be found again.
    """
    from tracetui.recipe.recorded.again import recipe_again
    from tracetui.tracer.quantised.measure import Measurement

    first, second = (
        with_weights(replace(recipe_again(trace, name), edits=()))
        for trace, name in zip((original, quantised), names, strict=True)
    )
    return Measurement(first, second, first.prompts)


def with_weights(recipe: Recipe) -> Recipe:
    """A recipe whose weights are at hand. Raises InputError where it has none."""
    from tracetui.models.checkpoints.forms import check_weight_files
    from tracetui.recipe.hub import with_cached_weights

    recipe = with_cached_weights(recipe)
    if recipe.weights is None:
        raise InputError(f"{recipe.name}: has no weights of its own; a folder or file with some is needed")
    check_weight_files(recipe)
    return recipe
