"""How wide the tensors are that one pass records, read off the module tree's own shapes.

No field of any family's configuration is used: widths are those of the modules' weights, so that the estimate holds for
every model that the tree holds. It counts what stays: a tensor that several modules return is one.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from tracetui.models.config_help.layer_fields import config_field
from tracetui.models.latent import expansion_of
from tracetui.models.memory.attention_widths import attention_widths, is_attention, read_widths
from tracetui.models.module_tree import known_model
from tracetui.models.pass_through import PassThrough
from tracetui.models.weights.experts import expert_count, experts_per_token, may_have_experts, runs_singly
from tracetui.recording.record import layer_of, layer_path

_UNCHANGED = (nn.Dropout, nn.Identity, nn.ModuleList)
"""What returns its input, or nothing."""


@dataclass(frozen=True, slots=True)
class Widths:
    """Elements per token."""

    parts: Mapping[str, int]
    """Of everything that a pass keeps, by the layer's path; the empty path for what stands outside of all."""
    attention: int
    """The width of what all attention kernels receive and return together."""
    widest_in_layer: int
    widest: int
    """Of one module's output; over the whole model it is that of the logits."""

    @property
    def recorded(self) -> int:
        return sum(self.parts.values())


def widths(model: nn.Module) -> Widths:
    """The widths of a model's outputs, layers left out not counted; found out once for a model that stays as it is."""
    known, chosen = known_model(model), experts_per_token(getattr(model, "config", None))
    made = known.once(_made)
    if chosen not in made:
        made[chosen] = _widths(model, known.modules)
    return made[chosen]


def _made(modules: Mapping[str, nn.Module]) -> dict[int | None, Widths]:
    """By how many experts a token uses: it may be changed in the configuration."""
    return {}


def _widths(model: nn.Module, modules: Mapping[str, nn.Module]) -> Widths:
    hidden = next((module.embedding_dim for module in model.modules() if isinstance(module, nn.Embedding)), 0)
    chosen, per_token = chosen_experts(model), experts_per_token(getattr(model, "config", None)) or 1
    parts: dict[str, int] = defaultdict(int)
    attention, in_layer, outside = 0, 0, 0
    for path, module in _of_text(model, modules):
        part = layer_path(path)
        if path == part and path and not isinstance(module, PassThrough):
            # The residual stream after attention and after the layer.
            parts[part] += 2 * hidden
            in_layer = max([in_layer, *(_own(inner, hidden) for inner in module.modules())])
        roles = attention_widths(module).roles
        attention += roles
        parts[part] += sum(_returned(child, module, hidden, per_token) for child in module.children())
        parts[part] += roles + _entering(module, hidden) + _expert_roles(module, chosen, hidden)
        outside = max(outside, _own(module, hidden))
    return Widths(parts, attention, in_layer, outside)


def _of_text(model: nn.Module, modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """The modules that a prompt of text goes through: not those that are built of a configuration without words."""
    config: Any = getattr(model, "config", None)
    parts = [getattr(config, name, None) for name in getattr(config, "sub_configs", ())]
    others = {id(part) for part in parts if part is not None and not hasattr(part, "vocab_size")}
    left_out: tuple[str, ...] = ()
    for path, module in modules.items():
        if path.startswith(left_out):
            continue
        if others and id(vars(module).get("config")) in others:
            left_out = (*left_out, f"{path}.")
        else:
            yield path, module


def _own(module: nn.Module, hidden: int) -> int:
    """What a module's own weights make of a token; 0 without weights."""
    if isinstance(module, nn.Embedding):
        return module.embedding_dim
    if isinstance(made := getattr(module, "nf", None), int):
        # transformers' Conv1D, whose weight lies the other way round.
        return made
    shapes = [tuple(own.shape) for own in module.parameters(recurse=False)]
    if any(len(shape) > 2 for shape in shapes):
        # Experts in one tensor: they return what they are given, which is every token for each that chooses none.
        return hidden * (expert_count(module) if _takes_every_token(module) else 1)
    return max((shape[0] for shape in shapes if shape), default=0)


def _returned(child: nn.Module, parent: nn.Module, hidden: int, per_token: int) -> int:
    """The width of a childless module's new output; all other modules pass on their children's.

    per_token: how many experts a token uses.
    """
    if isinstance(child, (*_UNCHANGED, PassThrough)) or any(True for _ in child.children()):
        return 0
    if widths := _of_sorted_rows(child):
        return per_token * sum(widths)
    own = _own(child, hidden)
    if own and not is_attention(parent):
        return own
    if own:
        # A norm within attention is as wide as one head, and runs for all, unless a projection reads what it returns.
        shapes = [own.dim() for own in child.parameters(recurse=False)]
        whole = max(shapes) > 1 or own in read_widths(parent)
        return own if whole else max(own, attention_widths(parent).query)
    made = sum(map(_of_buffer, child.buffers(recurse=False)))
    return made or max(_projections(parent, hidden), default=0)


def _of_buffer(buffer: torch.Tensor) -> int:
    """What a module makes for a token of a buffer: a row of a table of positions, or of frequencies two of rotations'
    cosines and sines.
    """
    return 4 * buffer.numel() if buffer.dim() < 2 else buffer.shape[-1]


def _of_sorted_rows(module: nn.Module) -> tuple[int, ...]:
    """What all experts' matrices in one tensor [E,out,in] are given and return for a token that one of them is chosen
    for: somebody else sorts the rows by expert, and says how many each has. Empty for all other modules.
    """
    kind: Any = type(module)
    shapes = [tuple(own.shape) for own in module.parameters(recurse=False)]
    return shapes[0][1:] if len(shapes) == 1 and len(shapes[0]) == 3 and _inputs(kind) == 2 else ()


def _takes_every_token(module: nn.Module) -> bool:
    """Whether each expert of a module is given all tokens, times how far they chose it: nobody tells it who chose."""
    if not isinstance(getattr(module, "num_experts", None), int) or may_have_experts(module):
        return False
    kind: Any = type(module)
    return _inputs(kind) == 1 and any(own.dim() > 2 for own in module.parameters(recurse=False))


@cache
def _inputs(kind: Any) -> int:
    return len(inspect.signature(kind.forward).parameters) - 1


def _entering(module: nn.Module, hidden: int) -> int:
    """What a module computes itself and gives to those in it: a product of gate and values.

    What attention gives its last projection is what its heads returned.
    """
    if is_attention(module):
        return 0
    if _takes_every_token(module):
        widths = (width for own in module.parameters(recurse=False) for width in own.shape[1:])
        return expert_count(module) * (hidden + sum(width for width in widths if width != hidden))
    shapes = (tuple(child.weight.shape) for child in module.children() if isinstance(child, nn.Linear))
    return sum(shape[1] for shape in shapes if len(shape) == 2 and shape[1] != hidden)


def cached_width(model: nn.Module) -> int:
    """Elements of keys and values, as attention kernels are given them, that a cache holds for one token."""
    config = getattr(model, "config", None)
    width = 0
    for path, module in model.named_modules():
        latent = expansion_of(module)
        if latent:
            rotary = getattr(module, "qk_rope_head_dim", 0)
            width += latent.heads * (latent.nope + rotary + latent.value)
        elif is_attention(module) and not any(is_attention(child) for child in module.children()):
            width += 2 * _key_width(config, layer_of(path))
    return width


def _key_width(config: Any, layer: int | None) -> int:
    """Elements of the keys of one token in a layer, or of its values."""
    names = ("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size")
    heads, groups, size, hidden = (config_field(config, name, layer) or 0 for name in names)
    width: int = (groups or heads) * (size or hidden // max(1, heads))
    return width


def chosen_experts(model: nn.Module) -> int:
    """How many experts of a layer a token is sent to; 0 without experts that run one by one."""
    counts = [expert_count(module) for module in model.modules() if runs_singly(module)]
    return (experts_per_token(getattr(model, "config", None)) or max(counts)) if counts else 0


def _expert_roles(module: nn.Module, chosen: int, hidden: int) -> int:
    """What experts are given and return, and three scores of each for the choice."""
    return chosen * 2 * hidden + 3 * expert_count(module) if runs_singly(module) else 0


def _projections(module: nn.Module, hidden: int) -> Iterator[int]:
    """The widths of a module's own matrices' outputs."""
    for child in module.children():
        if any(own.dim() > 1 for own in child.parameters(recurse=False)):
            yield _own(child, hidden)
