"""A softmax over large scores makes much of its inputs' rounding: that is no fault of the attention."""

from __future__ import annotations

import torch

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report

_BLOCK = "model.layers.0.self_attn"


def _side(inputs: list[torch.Tensor], scale: float | None = None) -> dict[str, torch.Tensor]:
    q, k, v = inputs
    heads = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)  # [1,H,T,K]
    return {f"{_BLOCK}:{name}": each for name, each in (("q", q), ("k", k), ("v", v), ("heads", heads))}


def _compared(scale: float | None = None) -> Report:
    exact = [torch.from_numpy(normal(1, 4, 64, 16, seed=seed)) * size for seed, size in ((0, 9), (1, 9), (2, 1))]
    rounded = [each.bfloat16().float() for each in exact]
    low, high = _side(rounded, scale), _side(exact)
    dtypes = dict.fromkeys(low, "bfloat16")
    a = trace_of({name: each.numpy() for name, each in low.items()}, dtypes=dtypes)
    return report(a, trace_of({name: each.numpy() for name, each in high.items()}))


def test_heads_that_follow_from_their_own_side_s_inputs_are_no_fault() -> None:
    """They are beyond the tolerance, and the same all the same: rounding of q, k and v explains all of it."""
    found = _compared()
    assert [site.site for site in found.comparison.sites if site.explained] == [f"{_BLOCK}:heads"]
    assert found.first is None
    assert not found.at_fault
    assert not found.hints


def test_another_scale_is_one() -> None:
    found = _compared(scale=0.02)
    assert found.first is not None
    assert found.first.site == f"{_BLOCK}:heads"
    assert found.at_fault
