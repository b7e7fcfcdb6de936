"""A recipe traced without a screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tracetui.debugger.session import Event
from tracetui.expr.edit_log import EditLog
from tracetui.expr.known_sites import sites_of
from tracetui.expr.model_facts import ModelFacts, check_all
from tracetui.expr.stop import Stop
from tracetui.recipe import Recipe
from tracetui.recipe.model_facts import facts_of_recipe
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
    names: tuple[str, str, str] | None = None,
) -> Trace:
    """Run a recipe's model over its own prompts (or one prompt, or token `ids`, instead) to the end.

    exact: in float64, from the weights as the recipe's own dtype rounds them. names: what whoever asks calls stops,
    edits and kept values, by which those are refused before the model runs that name what it doesn't have.
    Nobody waits at stops, but Fired tells of them. Raises InputError for bad input, and ModelError.
    """
    prompts = recipe.prompts if prompt is None else recipe.prompts.typed(prompt)
    if ids is not None:
        prompts = replace(prompts, texts=(), ids=(tuple(ids),), random=None)
    # There is no next prompt for which weights would stay, only a next pass; a GPU has no other use for its memory.
    once = recipe.memory is None and recipe.generation.count < 2 and recipe.device == "cpu"
    engine = Engine(replace(recipe, memory=0) if once else recipe, emit, exact=exact)
    emit(engine.prepared)
    try:
        if names is not None:
            check_all(stops, recipe.edits, recipe.keep, _facts(recipe, engine), names)
        return engine.run(prompts, Gate(emit=emit, stops=stops, waits=False, edits=EditLog(recipe.edits)))
    finally:
        engine.close()


def _facts(recipe: Recipe, engine: Engine) -> ModelFacts:
    """What the model that is built adds to what its recipe tells."""
    longest = max((len(row.tokens) for row in engine.prepared.preview.rows), default=0)
    tokens = longest + max(0, recipe.generation.count)
    return replace(facts_of_recipe(recipe), sites=sites_of(engine.prepared.outline), tokens=tokens)
