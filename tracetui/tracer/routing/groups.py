"""Among which experts a router may choose: all, or those of the groups that have the best."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

from tracetui.models.config_help.layer_fields import config_field

_GROUPS = ("n_group", "num_group", "n_groups", "num_expert_group")
_GROUPS_USED = ("topk_group", "limited_groups")
_PLAIN_METHOD = "greedy"
_FILLED_WITH_ZERO = re.compile(r"masked_fill\([^\n]*,\s*0(?:\.0*)?\)")

Rank = Callable[[torch.Tensor], torch.Tensor]


def as_it_is(logits: torch.Tensor) -> torch.Tensor:
    return logits


def ranks_of(router: nn.Module, config: Any, count: int, biased: bool) -> Iterator[Rank]:
    """How the choice may have been narrowed: to the groups with the best two experts or the best one; or not at all.

    Routers with a bias rank groups by their best two (DeepSeek-V3), those without by the best (V2).
    """
    groups, used = _number(router, config, _GROUPS), _number(router, config, _GROUPS_USED)
    method = getattr(router, "topk_method", config_field(config, "topk_method"))
    if groups and used and groups > 1 and count % groups == 0 and used <= groups and method != _PLAIN_METHOD:
        kind: Any = type(router)
        # Without a bias no score is below 0, and what counts 0 is masked as well.
        floor = 0.0 if biased and _masks_with_zero(kind) else -torch.inf
        for best in (2, 1) if biased else (1, 2):
            if count // groups >= best:
                yield lambda selection, best=best: _only_groups(selection, groups, used, best, floor)  # type: ignore[misc]
    yield as_it_is


@cache
def _masks_with_zero(kind: Any) -> bool:
    """Whether a router's own code lets the experts of masked groups count 0, where a negative score loses to them."""
    try:
        return _FILLED_WITH_ZERO.search(inspect.getsource(kind)) is not None
    except (OSError, TypeError):
        return False


def _number(router: nn.Module, config: Any, names: Sequence[str]) -> int | None:
    said = (config_field(owner, name) for owner in (router, config) for name in names)
    return next((value for value in said if isinstance(value, int)), None)


def _only_groups(selection: torch.Tensor, groups: int, used: int, best: int, floor: float) -> torch.Tensor:
    """The selection scores [N,E] with `floor` outside the `used` groups whose `best` experts have the largest sum."""
    grouped = selection.view(len(selection), groups, -1)  # [N,G,E/G]
    ranks = grouped.topk(best, dim=-1).values.sum(dim=-1)  # [N,G]
    kept = torch.zeros_like(ranks, dtype=torch.bool).scatter_(1, ranks.topk(used, dim=-1).indices, True)  # [N,G]
    return grouped.masked_fill(~kept[..., None], floor).view_as(selection)  # [N,E]
