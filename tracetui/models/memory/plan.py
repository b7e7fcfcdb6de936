"""How much memory a run will need, from shapes alone, and whether the machine has it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from tracetui.analysis.memory import MemoryPlan, PartPlan
from tracetui.errors import InputError
from tracetui.models.config_help.layer_fields import config_field
from tracetui.models.devices.chosen import CPU
from tracetui.models.devices.memory import free_bytes
from tracetui.models.memory.attention import attention_bytes, returned_scores
from tracetui.models.memory.attention_widths import absorbing_elements, alive_width
from tracetui.models.memory.device import HEADROOM, check_device
from tracetui.models.memory.kernels import kernel_bytes
from tracetui.models.memory.recorded import Widths, cached_width, chosen_experts, widths
from tracetui.models.weights.available_memory import available_bytes
from tracetui.models.weights.experts import is_per_expert, runs_singly
from tracetui.models.weights.residents import reads_rows
from tracetui.models.weights.sources import TensorSpec
from tracetui.models.weights.streaming import Weights
from tracetui.recipe import Recipe
from tracetui.recording.record import layer_of, layer_path
from tracetui.text import size, typed_size

LENS_BYTES = 2**26
"""Of the float32 logits that a lens has at one time."""


def weight_budget(recipe: Recipe, device: torch.device = CPU) -> int:
    """Bytes of weights that may stay between runs: what the recipe says, else half of what the device has free."""
    return recipe.memory if recipe.memory is not None else free_bytes(device) // 2


def plan_run(
    model: nn.Module,
    weights: Weights,
    itemsize: int,
    tokens: int,
    base: int,
    rows: int = 1,
    absorb: bool = False,
    steps: bool = False,
) -> MemoryPlan:
    """The plan for `rows` prompts, padded to `tokens` tokens, in a process that held `base` bytes before weights.

    absorb: latent attention is computed from its latent. steps: some layer's attention is computed step by step.
    """
    positions = rows * tokens
    embedded = sum(
        slot.spec.nbytes(min(positions, slot.spec.rows)) for module, slot in weights.all_slots() if reads_rows(module)
    )
    tensor_widths = widths(model)
    kept = weights.kept_bytes + weights.kept_experts_bytes(positions * chosen_experts(model))
    passing = weights.largest_passing_bytes
    masks = rows * tokens * tokens * itemsize
    return MemoryPlan(
        weights=kept + passing + embedded,
        kept=kept,
        activations=positions * itemsize * (tensor_widths.recorded + tokens + returned_scores(model, tokens)),
        working=positions * _working_bytes(model, tensor_widths, itemsize),
        base=base,
        available=available_bytes(),
        logits=positions * itemsize * tensor_widths.widest,
        attention=positions * itemsize * tensor_widths.attention + masks,
        parts=tuple(_parts(model, weights, tensor_widths, itemsize, positions)),
        passing=passing,
        attending=rows * attention_bytes(model, itemsize, tokens, absorb, steps),
        alive=positions * itemsize * alive_width(model),
        reused=weights.reused_bytes + itemsize * absorbing_elements(model),
        kernels=kernel_bytes(model, itemsize, positions),
    )


def with_passes(
    plan: MemoryPlan, model: nn.Module, weights: Weights, itemsize: int, tokens: int, rows: int, new: int
) -> MemoryPlan:
    """The plan for `new` tokens more in each row of `tokens`: a pass each but the last, and the cache that grows.

    Each pass records the keys and values of all positions before it too: its attention is given them. It may hit
    experts that no pass before it did.
    """
    if not new:
        return plan
    passes = new - 1
    position, cached = widths(model).recorded, cached_width(model)
    keys = passes * tokens + passes * (passes + 1) // 2
    choices = rows * chosen_experts(model)
    experts = weights.kept_experts_bytes((tokens + passes) * choices) - weights.kept_experts_bytes(tokens * choices)
    return replace(
        plan,
        weights=plan.weights + experts,
        kept=plan.kept + experts,
        activations=plan.activations + rows * itemsize * (passes * position + keys * (cached + 1)),
        attention=plan.attention + rows * itemsize * keys * cached,
        cache=rows * itemsize * (tokens + passes) * cached,
    )


def with_lens(plan: MemoryPlan, model: nn.Module, itemsize: int, positions: int, count: int) -> MemoryPlan:
    """The plan with what the lens of all layers takes while it works, and what it records; `count` tokens a place."""
    if not count:
        return plan
    layers = sum(bool(part.path) for part in plan.parts)
    hidden = next((module.embedding_dim for module in model.modules() if isinstance(module, nn.Embedding)), 0)
    working = 3 * LENS_BYTES + 2 * layers * positions * hidden * itemsize
    recorded = layers * positions * count * (8 + 4)
    return replace(plan, working=max(plan.working, working), activations=plan.activations + recorded)


def _parts(
    model: nn.Module, weights: Weights, tensor_widths: Widths, itemsize: int, positions: int
) -> Iterator[PartPlan]:
    """Each layer that was asked for, then what stands outside."""
    made: dict[str, int] = defaultdict(int)
    seen: set[tuple[str, bool]] = set()
    choices = positions * chosen_experts(model)
    for path, module in model.named_modules():
        for slot in weights.of(module):
            # A tied head is made whole beside the rows that the embedding has of the same tensor.
            part_of = (slot.spec.name, reads_rows(module))
            if part_of not in seen:
                seen.add(part_of)
                made[layer_path(path)] += _made_bytes(module, slot.spec, positions, choices)
    for path, width in sorted(tensor_widths.parts.items(), key=lambda item: (not item[0], layer_of(item[0]) or 0)):
        if made.get(path) or not path:
            yield PartPlan(path, made.get(path, 0), positions * itemsize * width)


def _made_bytes(module: nn.Module, spec: TensorSpec, positions: int, choices: int) -> int:
    """Bytes of a tensor, or of those of its rows that a run can ask for."""
    if reads_rows(module):
        return spec.nbytes(min(positions, spec.rows))
    if runs_singly(module) and is_per_expert(module, spec):
        return spec.nbytes(min(choices, spec.rows))
    return spec.nbytes()


def within(plan: MemoryPlan, recipe: Recipe) -> MemoryPlan:
    """The plan where recorded values may take only so much memory: what goes beyond lies on disk, or isn't kept."""
    room = (plan.available - plan.weights - plan.at_work) // 2 if recipe.room.memory is None else recipe.room.memory
    most = min(plan.activations, max(0, room)) if recipe.keep.everything or recipe.keep.patterns else 0
    # The logits come last: what was recorded before them has taken the room.
    logits = max(0, most - (plan.activations - plan.logits))
    alive = plan.alive * (plan.activations - most) // max(1, plan.activations)
    # What isn't kept of them is there all the same while it is looked at.
    working = max(plan.working, plan.logits - logits)
    return replace(
        plan, activations=most, logits=logits, attention=min(plan.attention, most), working=working, alive=alive
    )


def check(plan: MemoryPlan, held: int) -> None:
    """Refuse a plan that can't fit beside the `held` bytes that earlier runs left in place.

    Raises InputError with both sizes and advice.
    """
    if plan.on_device is not None:
        check_device(plan.on_device)
    needed = plan.peak - plan.base - held
    if needed > plan.available * HEADROOM:
        raise InputError(
            f"this run needs {size(needed)} more memory and {size(plan.available)} is available: "
            f"weights {size(plan.weights)}, recorded tensors {size(plan.activations)}, cache {size(plan.cache)}, "
            f"at work {size(plan.at_work)}; {_advice(plan)}"
        )


def _advice(plan: MemoryPlan) -> str:
    """What makes the largest part smaller."""
    most = max(plan.weights, plan.activations, plan.at_work + plan.cache)
    if most == plan.weights:
        fewer = f", or keep fewer weights (--memory {typed_size(plan.kept // 2)})" if plan.kept else ""
        return f"use fewer layers (--layers){fewer}"
    if most == plan.activations:
        return (
            "record less (--keep stats, or --keep GLOB for some sites), let more of it go to disk "
            f"(--values {typed_size(plan.activations // 4)}), or use a shorter prompt or fewer rows"
        )
    return "use a shorter prompt, fewer rows, or fewer new tokens (--generate)"


def _working_bytes(model: nn.Module, tensor_widths: Widths, itemsize: int) -> int:
    """Bytes a token at the widest moment inside a module.

    That is the FFN's product, a copy of the logits to cap them, or what a token's experts make and its sum, which
    have the precision of the routing weights.
    """
    capped = config_field(getattr(model, "config", None), "final_logit_softcapping")
    copied = 2 * tensor_widths.widest * itemsize if capped else 0
    chosen = chosen_experts(model)
    hidden = next((module.embedding_dim for module in model.modules() if isinstance(module, nn.Embedding)), 0)
    experts = (chosen + 1) * hidden * 4 if chosen else 0
    return max(2 * tensor_widths.widest_in_layer * itemsize, copied, experts)
