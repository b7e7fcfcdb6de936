"""A recipe made ready to run: the model without memory, its weight source, its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tracetui.models.build import BuiltModel, build_model
from tracetui.models.meta_checkpoint import MetaCheckpoint, open_meta_checkpoint
from tracetui.models.plan import weight_budget
from tracetui.models.random_source import RandomSource
from tracetui.models.slots import Weights
from tracetui.models.sources import Stacked
from tracetui.models.tokenizers import Tokenizer, load_tokenizer
from tracetui.recipe import Recipe

RANDOM_REMARK = "random weights predict nothing: these tokens come from the seed, not from learning"
MIXED_REMARK = "some weights are random: what the model predicts means nothing"
CUT_REMARK = "layers were left out: what the model predicts means nothing"


@dataclass(frozen=True, eq=False, slots=True)
class Runnable:
    """Everything that a run needs; nothing large is in memory yet."""

    recipe: Recipe
    built: BuiltModel
    weights: Weights
    tokenizer: Tokenizer
    notes: tuple[str, ...]


def make_runnable(recipe: Recipe) -> Runnable:
    """Build a recipe's model and open what it needs. Raises InputError."""
    checkpoint = open_meta_checkpoint(recipe.weights, recipe.config) if recipe.weights else None
    dtype = _dtype(recipe, checkpoint)
    built = build_model(recipe, dtype)
    random = RandomSource(recipe.seed, float(getattr(built.config, "initializer_range", None) or 0.02))
    source = Stacked(checkpoint, random) if checkpoint else random
    weights = Weights(built.module, dtype, source, weight_budget(recipe))
    report = checkpoint.report([slot.spec for _, slot in weights.all_slots()]) if checkpoint else []
    return Runnable(recipe, built, weights, _tokenizer(recipe), (*recipe.notes, *report, *_remarks(recipe, weights)))


def _dtype(recipe: Recipe, checkpoint: MetaCheckpoint | None) -> torch.dtype:
    if recipe.dtype != "auto":
        dtype = getattr(torch, recipe.dtype)
        assert isinstance(dtype, torch.dtype)
        return dtype
    return checkpoint.dtype if checkpoint else torch.bfloat16


def _tokenizer(recipe: Recipe) -> Tokenizer:
    vocabulary, bos = recipe.config["vocab_size"], recipe.config.get("bos_token_id")
    assert isinstance(vocabulary, int)
    return load_tokenizer(recipe.tokenizer, vocabulary, bos if isinstance(bos, int) else None)


def _remarks(recipe: Recipe, weights: Weights) -> tuple[str, ...]:
    """What has to be said beside a prediction."""
    provenances = {slot.provenance for _, slot in weights.all_slots()}
    if provenances == {"random"}:
        return (RANDOM_REMARK,)
    if "random" in provenances:
        return (MIXED_REMARK,)
    return (CUT_REMARK,) if len(recipe.layers) < recipe.layer_count else ()
