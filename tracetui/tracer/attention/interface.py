"""What transformers' attention interface runs for a module, and tracetui's own names in it.

What stands in the interface under a name is what a model with this name computes with: transformers' own function, or
one that somebody has put in its place.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tracetui.models.recordable.unshown import ATTENTION_INTERFACE, files_of

_EAGER = "eager_attention_forward"


def registered(kernel: str, function: Any) -> str:
    """The name under which `function` runs in place of a kernel, with the masks that this kernel is given."""
    name = f"tracetui_{kernel}"
    AttentionInterface.register(name, function)
    masks = AttentionMaskInterface._global_mapping
    if kernel in masks:
        AttentionMaskInterface.register(name, partial(_masked, kernel))
    else:
        masks.pop(name, None)
    return name


def _masked(kernel: str, *args: Any, **kwargs: Any) -> Any:
    return ALL_MASK_ATTENTION_FUNCTIONS[kernel](*args, **kwargs)


def published(module: nn.Module, kernel: str) -> Any:
    """What a module computes with under a kernel's name."""
    files = files_of(module)
    interface = next((vars(file)[ATTENTION_INTERFACE] for file in files if hasattr(file, ATTENTION_INTERFACE)), None)
    known = ALL_ATTENTION_FUNCTIONS if interface is None else interface
    return known[kernel] if kernel in known else own_eager(module)


def own_eager(module: nn.Module) -> Any:
    """The attention function of a module's modelling file; None where it has none."""
    return next((getattr(file, _EAGER) for file in files_of(module) if hasattr(file, _EAGER)), None)
