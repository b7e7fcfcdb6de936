"""The recipe by which a trace was recorded, to run it once more."""

from __future__ import annotations

from dataclasses import replace

from tracetui.errors import InputError
from tracetui.expr.replacement import check_sources
from tracetui.recipe.find import load_recipe
from tracetui.recipe.generation import PROMPT_ALONE
from tracetui.recipe.hub import with_cached_weights
from tracetui.recipe.model import DTYPES, MLA_WAYS, Layers, Recipe
from tracetui.recipe.prompts import Prompts
from tracetui.recipe.recorded.edits import edits_of
from tracetui.recording.trace import Trace
from tracetui.text import visible

_RANDOM = "random"
_FLOATS = ("bfloat16", "float16", "float32")


def recipe_again(trace: Trace, name: str, model: str | None = None) -> Recipe:
    """The recipe of a trace with the very tokens of its prompts; `name` is what messages call the trace.

    `model` says where the weights are now, or which model it was; the trace's own configuration, layers, seed and
    dtype count. Raises InputError if it can't be run again.
    """
    kept = trace.run.recipe
    prompts = zip(trace.tokens, trace.prompt_lengths, strict=True)
    ids = tuple(tuple(token.id for token in row[:length]) for row, length in prompts)
    if not ids or not all(ids):
        raise InputError(f"{name}: holds no tokens, so it can't be run again")
    weights = kept.get("weights")
    if model is None and weights == _RANDOM:
        recipe = _by_itself(trace, name)
    elif model is None and not trace.run.model:
        raise InputError(f"{name}: doesn't say which model it is of; name it with --model")
    else:
        recipe = _found(trace, name, model)
    return replace(recipe, prompts=Prompts(ids=ids), dtype=_dtype(trace, recipe), memory=None, generation=PROMPT_ALONE)


def _by_itself(trace: Trace, name: str) -> Recipe:
    """Random weights are drawn from the configuration and the seed: nothing else has to be found."""
    config = dict(trace.run.config)
    if not config.get("model_type"):
        raise InputError(f"{name}: holds no configuration of a model; name it with --model")
    return _as_recorded(
        Recipe(name=trace.run.model or name, title="", origin=name, config=config, layers=Layers(0, 1)), trace, name
    )


def _found(trace: Trace, name: str, model: str | None) -> Recipe:
    """The recipe of a name, with what the trace says of its run."""
    called = model or trace.run.model
    try:
        recipe = load_recipe(called)
    except InputError as error:
        hint = "" if model else "; say with --model where it is"
        raise InputError(f"{name}: its model can't be found again: {error}{hint}") from error
    if recipe.weights is None and recipe.hub:
        recipe = with_cached_weights(recipe)
    weights = trace.run.recipe.get("weights")
    if weights == _RANDOM:
        recipe = replace(recipe, weights=None)
    elif weights is not None and recipe.weights is None:
        source = visible(str(weights), 80)
        raise InputError(
            f"{name}: ran with weights of {source}, which {visible(called, 300)} doesn't name; give --model FOLDER"
        )
    return _as_recorded(replace(recipe, config=dict(trace.run.config) or recipe.config), trace, name)


def _as_recorded(recipe: Recipe, trace: Trace, name: str) -> Recipe:
    """Layers, seed, edits and the way of latent attention as the trace has them, if it says so."""
    kept = trace.run.recipe
    layers, seed, mla = kept.get("layers"), kept.get("seed"), kept.get("mla")
    if layers is not None:
        recipe = replace(recipe, layers=_layers(layers, recipe, name))
    if isinstance(seed, int) and seed >= 0:
        recipe = replace(recipe, seed=seed)
    edits = edits_of(trace, name)
    check_sources(edits, f"{name}: recipe.edits")
    recipe = replace(recipe, edits=edits)
    return replace(recipe, mla=mla) if isinstance(mla, str) and mla in MLA_WAYS else recipe


def _layers(ends: object, recipe: Recipe, name: str) -> Layers:
    if isinstance(ends, list | tuple) and len(ends) == 2 and all(type(end) is int for end in ends):
        start, stop = ends
        if 0 <= start < stop <= recipe.layer_count:
            return Layers(start, stop)
    raise InputError(f"{name}: recipe.layers: must be a start and a stop within the model's layers, got {ends!r:.60}")


def _dtype(trace: Trace, recipe: Recipe) -> str:
    """What the trace says, else the dtype of its first floats."""
    dtype = trace.run.recipe.get("dtype")
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    return next((record.dtype for record in trace.records if record.dtype in _FLOATS), recipe.dtype)
