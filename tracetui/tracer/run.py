"""A recipe traced without a screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tracetui.debugger.session import Event
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import Stop
from tracetui.recipe import Recipe
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate


def trace_recipe(
    recipe: Recipe,
    prompt: str | None = None,
    ids: Sequence[int] | None = None,
    emit: Callable[[Event], None] = lambda event: None,
    exact: bool = False,
    stops: Sequence[Stop] = (),
) -> Trace:
    """Run a recipe's model over its own prompts (or one prompt, or token `ids`, instead) to the end.

    exact: in float64, from the weights as the recipe's own dtype rounds them.
    Nobody waits at stops, but Fired tells of them. Raises InputError for bad input, and ModelError.
    """
    prompts = recipe.prompts if prompt is None else recipe.prompts.typed(prompt)
    if ids is not None:
        prompts = replace(prompts, texts=(), ids=(tuple(ids),), random=None)
    # There is no next prompt for which weights would stay; only a next pass.
    once = recipe.memory is None and recipe.generation.count < 2
    engine = Engine(replace(recipe, memory=0) if once else recipe, emit, exact=exact)
    emit(engine.prepared)
    try:
        return engine.run(prompts, Gate(emit=emit, stops=stops, waits=False, edits=EditLog(recipe.edits)))
    finally:
        engine.close()
