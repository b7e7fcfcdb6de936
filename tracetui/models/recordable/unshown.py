"""What of a model can't be shown, because its class computes it in its own way; the run itself is the same."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cache
from itertools import takewhile
from types import ModuleType
from typing import Any

from torch import nn
from transformers import AttentionInterface, PreTrainedModel

from tracetui.models.module_tree import KnownModel
from tracetui.models.recordable.direct_calls import direct_calls
from tracetui.models.recordable.unregistered import unregistered
from tracetui.models.weights.experts import is_handed_choices, is_router, runs_singly
from tracetui.text import visible

ATTENTION_INTERFACE = "ALL_ATTENTION_FUNCTIONS"
"""The name that a modelling file imports if its attention goes through transformers' interface."""
_WATCHED = ("eager", "sdpa")
_OTHER_MASKS = ("flash", "flex", "paged")
"""In the names of kernels whose masks are no tensors over queries and keys."""
_UNWATCHED = "whose queries, keys and probabilities can't be shown; attn_implementation='eager' or 'sdpa' shows them"
_MIXTURE = re.compile(r"(?:Experts|MoE|MoeBlock|Moe)$")


def unshown(known: KnownModel) -> tuple[str, ...]:
    """A remark for each kind of a model's experts outside of transformers' interface, each unknown kernel, and each
    kind of module that calls others in a way that nobody hears of."""
    mixtures = _other_mixtures(known.modules) if known.once(_has_mixtures) else []
    experts = sorted({type(module).__name__ for module in mixtures})
    unknown = (config._attn_implementation for config in attention_configs(known) if watched_kernel(config) is None)
    return (
        *(f"{kind} chooses its experts itself: its routing can't be shown" for kind in experts),
        *(f"attention is computed by {visible(kernel, 60)}, {_UNWATCHED}" for kernel in sorted(set(map(str, unknown)))),
        *known.once(direct_calls),
        *known.once(unregistered),
    )


def watched_kernel(config: Any) -> str | None:
    """Which kernel that can be watched a configuration names; None for any other.

    A module of its own, outside of a model, has no name there, and computes as eager does.
    """
    kernel = config._attn_implementation
    if kernel is None:
        return "eager"
    return kernel if kernel in _WATCHED or _is_somebody_s_own(kernel) else None


def _is_somebody_s_own(kernel: str) -> bool:
    """Whether a kernel is a user's own function. transformers' other kernels don't get masks that say who sees whom."""
    function = AttentionInterface._global_mapping.get(kernel)
    is_theirs = str(getattr(function, "__module__", "")).startswith("transformers.")
    return function is not None and not is_theirs and not any(word in kernel for word in _OTHER_MASKS)


def attention_configs(known: KnownModel) -> list[Any]:
    """The different configurations that a model's modules read, outermost last: setting it sets those inside.

    None of a model whose attention is its own: it may read the kernel's name too, and leave the mask out for one that
    it doesn't know.
    """
    found = known.once(_configs)
    # One without a name around others that have one isn't asked: setting it would set theirs.
    named = [config for config in found if config._attn_implementation is not None]
    return named or list(found)


def _configs(modules: Mapping[str, nn.Module]) -> tuple[Any, ...]:
    if not any(map(goes_through_interface, modules.values())):
        return ()
    found: dict[int, Any] = {}
    for module in modules.values():
        # Not getattr: nn.Module's own is slow where there is none.
        config = vars(module).get("config")
        if id(config) not in found and hasattr(config, "_attn_implementation"):
            found[id(config)] = config
    return tuple(found.values())


def goes_through_interface(module: nn.Module) -> bool:
    """Whether a module's modelling file hands attention to transformers' interface."""
    return any(hasattr(file, ATTENTION_INTERFACE) for file in files_of(module))


def files_of(module: nn.Module) -> tuple[ModuleType, ...]:
    """The file of a module's class, and those of the classes that it was made from: a user's own stands in another."""
    kind: Any = type(module)
    return _files_of(kind)


@cache
def _files_of(kind: Any) -> tuple[ModuleType, ...]:
    own = takewhile(lambda base: base not in (PreTrainedModel, nn.Module), kind.__mro__)
    names = dict.fromkeys(base.__module__ for base in own)
    return tuple(sys.modules[name] for name in names if name in sys.modules)


def _shows_its_choice(module: nn.Module) -> bool:
    """Whether the choice passes by where a block's experts are handed it, or in what its router returns."""
    return any(is_handed_choices(child) or is_router(child) for child in module.children())


@cache
def _is_mixture(kind: str) -> bool:
    return _MIXTURE.search(kind) is not None


def _has_mixtures(modules: Mapping[str, nn.Module]) -> bool:
    return any(_is_mixture(type(module).__name__) for module in modules.values())


def _other_mixtures(modules: Mapping[str, nn.Module]) -> list[nn.Module]:
    """The innermost mixtures of experts that neither are watched nor hold or belong to any that are."""
    mixtures = [module for module in modules.values() if _is_mixture(type(module).__name__)]
    watched = [module for module in modules.values() if runs_singly(module) or _shows_its_choice(module)]
    seen = {part for module in watched for part in module.modules()}
    others = [module for module in mixtures if not seen.intersection(module.modules())]
    return [module for module in others if not any(part in others for part in module.modules() if part is not module)]
