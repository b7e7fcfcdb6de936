"""What the first screen shows of a recipe before its model exists."""

from __future__ import annotations

from tracetui.debugger.memory.restored import NOTHING_RECALLED, Restored, edits_beside
from tracetui.debugger.start_page import StartPage
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.recipe import Recipe
from tracetui.recipe.model_facts import facts_of_recipe


def page_of_recipe(
    recipe: Recipe, stops: tuple[Stop, ...] = DEFAULT_STOPS, recalled: Restored = NOTHING_RECALLED
) -> StartPage:
    return StartPage(
        title=recipe.name,
        description=recipe.title,
        dtype="" if recipe.factory is not None else recipe.dtype,
        weights=_weights(recipe),
        prompts=recipe.prompts,
        tokenizer=recipe.tokenizer,
        facts=_facts(recipe),
        notes=recipe.notes,
        known=facts_of_recipe(recipe, goes_on=True),
        stops=stops,
        edits=edits_beside(recipe.edits, recalled.note.edits),
        recalled=recalled,
    )


def _weights(recipe: Recipe) -> str:
    if recipe.factory is not None:
        return "whatever weights its code gives it"
    if recipe.weights is None:
        return f"random weights, seed {recipe.seed}"
    from_hub = recipe.hub and recipe.weights.name == recipe.commit
    return f"the hub's weights, {recipe.commit[:12]}" if from_hub else f"weights of {recipe.weights}"


def _facts(recipe: Recipe) -> tuple[tuple[str, str], ...]:
    if recipe.factory is not None:
        return (("file", str(recipe.factory.path)), ("function", recipe.factory.function))
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "vocab_size")
    fields = [(name, recipe.config.get(name)) for name in names]
    layers = ("layers", f"{len(recipe.layers)} of {recipe.layer_count}")
    latent = (("mla", recipe.mla),) if recipe.has_latent else ()
    device = () if recipe.device == "cpu" else (("device", recipe.device),)
    return (layers, *((name, str(value)) for name, value in fields if value is not None), *latent, *device)
