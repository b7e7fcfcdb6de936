"""Whether the routers that were built can choose at all: counts that contradict each other are told by their field.

transformers builds such a model, and only its forward fails, in torch's words.
"""

from __future__ import annotations

from typing import NoReturn, TypeGuard

from torch import nn

from tracetui.analysis.experts.fields import CHOSEN_COUNTS, EXPERT_COUNTS
from tracetui.errors import bad_field
from tracetui.recipe import Recipe

_BIAS = "e_score_correction_bias"
_METHODS = ("greedy", "group_limited_greedy")
_PLAIN = _METHODS[0]


def check_routers(model: nn.Module, recipe: Recipe) -> None:
    """Raise InputError naming the field for a router that can't choose that many experts, or not of such groups."""
    for module in model.modules():
        experts, chosen = getattr(module, "num_experts", None), getattr(module, "top_k", "")
        if _is_count(experts) and (chosen is None or _is_count(chosen)):
            _Router(module, recipe, experts, chosen).check()


class _Router:
    def __init__(self, module: nn.Module, recipe: Recipe, experts: int, chosen: int | None) -> None:
        self._module = module
        self._recipe = recipe
        self._experts = experts
        self._chosen = chosen
        self._all = f"{_name(recipe, EXPERT_COUNTS, 'num_experts')}, {experts}"

    def check(self) -> None:
        if self._chosen is None or not 1 <= self._chosen <= self._experts:
            self._fail(
                _name(self._recipe, CHOSEN_COUNTS, "num_experts_per_tok"),
                f"must be between 1 and {self._all}",
                self._chosen,
            )
        method = getattr(self._module, "topk_method", None)
        if isinstance(method, str) and method not in _METHODS:
            self._fail("topk_method", f"must be {' or '.join(_METHODS)}", method)
        if _is_count(groups := getattr(self._module, "num_group", None)) and method != _PLAIN:
            self._check_groups(groups)

    def _check_groups(self, groups: int) -> None:
        if groups < 1 or self._experts % groups:
            self._fail("n_group", f"must divide {self._all}", groups)
        if getattr(self._module, _BIAS, None) is not None and self._experts // groups < 2:
            self._fail("n_group", f"must leave two experts in a group, of {self._all}: the best two rank it", groups)
        kept = getattr(self._module, "topk_group", None)
        if not (_is_count(kept) and 1 <= kept <= groups):
            self._fail("topk_group", f"must be between 1 and n_group, {groups}", kept)

    def _fail(self, field: str, problem: str, found: object) -> NoReturn:
        raise bad_field(self._recipe.origin, field, problem, found)


def _name(recipe: Recipe, names: tuple[str, ...], usual: str) -> str:
    """What the configuration calls a count; the usual name where it says none."""
    return next((name for name in names if name in recipe.config), usual)


def _is_count(found: object) -> TypeGuard[int]:
    return isinstance(found, int) and not isinstance(found, bool)
