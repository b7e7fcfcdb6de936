"""A recipe traced without a screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracetui.recipe import Recipe
from tracetui.session import Event
from tracetui.trace.record import Token
from tracetui.trace.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate


def trace_recipe(
    recipe: Recipe,
    prompt: str | None = None,
    ids: Sequence[int] | None = None,
    emit: Callable[[Event], None] = lambda event: None,
) -> Trace:
    """Run a recipe's model over a prompt (its own unless given, or token `ids` instead) to the end.

    Raises InputError for bad input and whatever the model raises.
    """
    engine = Engine(recipe, emit)
    text = recipe.prompt if prompt is None else prompt
    tokens: list[Token] = engine.encode(text) if ids is None else [engine.runnable.tokenizer.token(i) for i in ids]
    emit(engine.prepared)
    try:
        return engine.run(tokens, text if ids is None else "", Gate(emit=emit))
    finally:
        engine.close()
