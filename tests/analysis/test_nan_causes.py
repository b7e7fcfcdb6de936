"""What in sound inputs makes a NaN: named where it accounts for all of it, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from tests.expr.made import made
from tracetui.analysis.health.diagnosis import diagnose
from tracetui.analysis.health.nan_causes import HiddenRows, ScoresOverflow, ZeroRows, cause_of
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.views.health.causes import cause_line
from tracetui.views.health.lines import health_lines

ATTENTION = "model.layers.0.self_attn"


def attended(mask: Array, *bad: tuple[int, int], prompts: int = 1) -> Trace:
    """An attention call of 2 heads over 5 tokens whose output is NaN at these prompts and positions."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(prompts, 2, 5, 4)).astype(np.float32) for _ in "qkv")
    heads = v.copy()
    for prompt, row in bad:
        heads[prompt, :, row] = np.nan
    roles = (("q", q), ("k", k), ("v", v), ("mask", mask), ("heads", heads))
    return made(*((f"{ATTENTION}:{role}", values) for role, values in roles))


def causal(prompts: int = 1) -> Array:
    """What queries may not see, as eager attention adds it [B,1,T,S]."""
    return np.broadcast_to(np.triu(np.full((5, 5), -np.inf, np.float32), 1), (prompts, 1, 5, 5)).copy()


def found(trace: Trace) -> object:
    *fed_by, record = trace.records
    return cause_of(trace, record, fed_by)


@pytest.mark.parametrize("boolean", [False, True])
def test_rows_that_see_no_key_are_named(boolean: bool) -> None:
    mask = causal()
    mask[..., :2] = -np.inf
    trace = attended(mask == 0 if boolean else mask, (0, 0), (0, 1))
    cause = found(trace)
    assert isinstance(cause, HiddenRows)
    assert (cause.rows, cause.keys) == (((0, 0), (0, 1)), 5)
    told = " ".join(line.text for line in health_lines(trace, diagnose(trace, trace.records[-1]), 400))
    assert f"rows 0 and 1 of {ATTENTION}:mask hide all 5 keys: a softmax over no key is NaN" in told
    assert "weights" not in told


def test_a_whole_prompt_of_padding_is_named_with_its_number() -> None:
    mask = causal(prompts=2)
    mask[1] = -np.inf
    cause = found(attended(mask, *((1, row) for row in range(5)), prompts=2))
    assert isinstance(cause, HiddenRows)
    assert cause_line(cause).startswith(f"rows 0 to 4 of prompt 1 of {ATTENTION}:mask hide all 5 keys")


def test_a_mask_is_not_blamed_for_rows_that_it_leaves_keys() -> None:
    mask = causal()
    mask[..., 0, :] = -np.inf
    assert found(attended(mask, (0, 0), (0, 3))) is None
    assert found(attended(causal(), (0, 3))) is None


def test_a_mask_of_the_lowest_number_hides_nothing_from_a_softmax() -> None:
    lowest = np.full((1, 1, 5, 5), np.finfo(np.float32).min, np.float32)
    assert found(attended(lowest, (0, 0))) is None


def test_products_of_queries_and_keys_beyond_their_dtype_are_named() -> None:
    trace = attended(causal(), (0, 3))
    for record in trace.records[:2]:
        trace.value(record).read()[...] = 250.0
    narrow = [np.full((1, 2, 5, 4), 250.0, np.float16) for _ in "qk"]
    rest = [(record.site, trace.value(record).read()) for record in trace.records[2:]]
    cause = found(made((f"{ATTENTION}:q", narrow[0]), (f"{ATTENTION}:k", narrow[1]), *rest))
    assert isinstance(cause, ScoresOverflow)
    assert (cause.dtype, cause.reached) == ("float16", 250_000.0)
    assert cause_line(cause) == "q·k reaches 2.5e+05, beyond the largest float16, 6.55e+04"


def test_rows_of_zeros_that_a_norm_divides_by_are_named() -> None:
    x = np.ones((1, 4, 3), np.float32)
    x[0, 2] = 0
    bad = x.copy()
    bad[0, 2] = np.nan
    cause = found(made(("net.residual", x), ("net.norm", bad)))
    assert isinstance(cause, ZeroRows)
    assert cause_line(cause).startswith("row 2 of net.residual is all zeros")
    bad[0, 1] = np.nan
    assert found(made(("net.residual", x), ("net.norm", bad))) is None
