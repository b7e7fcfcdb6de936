"""Each row of the last axis is held to the tolerance: a token that is huge hides nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.compare import compare
from tracetui.analysis.diff.distances import rows
from tracetui.analysis.diff.distances.distance import Distance, distance
from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.rounding.tolerance import Limits, Tolerance
from tracetui.recording.value import Array, ArrayValue
from tracetui.views.diff.report import diff_lines

T, D = 20, 64
SITE = "model.layers.1"


def sink(*shape: int) -> Array:
    """Rows of which the first is 200 times as long as the others."""
    found = normal(*shape)
    found[..., 0, 3] = 22_500
    return found


def outcome(a: Array, b: Array, dtype: str = "float32", limits: Limits | None = None) -> Outcome:
    sides = [trace_of({SITE: array}, dtypes={SITE: dtype}) for array in (a, b)]
    return compare(sides[0], sides[1], limits=limits).sites[0].outcome


def measured(a: Array, b: Array, tolerance: Tolerance | None = None) -> Distance:
    return distance(ArrayValue(a), ArrayValue(b), tolerance or Limits().tolerance("float32", "float32", 1.0))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tokens_that_are_off_beside_a_huge_one_differ(dtype: str) -> None:
    b = sink(1, T, D)
    a = b.copy()
    a[:, T // 5 :] *= 1.2
    assert outcome(a, b, dtype) is Outcome.DIFFERENT


def test_a_patched_token_has_its_true_distance_and_place() -> None:
    b = sink(1, T, D)
    a = b.copy()
    a[0, 7] += 0.36 * np.linalg.norm(b[0, 7]) * normal(D, seed=4) / np.linalg.norm(normal(D, seed=4))
    found = measured(a, b)
    assert found.row is not None
    assert found.row.index == (0, 7)
    assert found.row.relative == found.furthest == pytest.approx(0.36, rel=1e-5)
    assert found.relative < 0.002
    assert found.worst is not None
    assert found.worst[:2] == (0, 7)


def test_the_row_after_it_is_not_blamed_for_it() -> None:
    b = sink(1, T, D)
    a = b.copy()
    a[0, 7] += 0.3
    norms = [x / np.sqrt(np.square(x).mean(-1, keepdims=True)) for x in (a, b)]
    names = ("model.layers.1:input", "model.layers.1.input_layernorm")
    sides = [trace_of({names[0]: x, names[1]: norm}) for x, norm in zip((a, b), norms, strict=True)]
    found = report(sides[0], sides[1])
    assert found.first is not None
    assert found.first.site == names[0]
    assert "in the worst row [batch=0, T=7]" in " ".join("\n".join(diff_lines(found, ("A", "B"))).split())


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-2])
def test_a_row_that_is_all_but_zero_has_the_rounding_of_the_others(size: float) -> None:
    b = normal(1, T, D)
    b[0, 5] *= size
    a = b + 1e-6 * normal(1, T, D, seed=1)
    assert outcome(a, b) is Outcome.SAME
    a[0, 5] += 1e-3
    assert outcome(a, b) is Outcome.DIFFERENT


def test_one_token_in_bfloat16_may_round_worse_than_all_do() -> None:
    b = sink(1, T, D)
    a = b.copy()
    a[0, 5] *= 1.02
    assert outcome(a, b, "bfloat16") is Outcome.SAME
    a[0, 5] *= 1.08
    assert outcome(a, b, "bfloat16") is Outcome.DIFFERENT


def test_narrow_rows_may_be_off_by_more_by_chance() -> None:
    tolerance = Limits().tolerance("bfloat16", "float32", 1.0)
    b = normal(5000, 2) + 2
    a = b * (1 + 0.015 * normal(5000, 2, seed=1))
    assert outcome(a, b, "bfloat16") is Outcome.SAME
    assert tolerance.of_row(5000, 2) > tolerance.of_row(5000, 64) > tolerance.of_row(1, 64)


def test_whole_numbers_and_single_rows_have_no_worst_row() -> None:
    assert measured(normal(1, D) * 1.1, normal(1, D)).row is None
    assert measured(np.array(2.0), np.array(3.0)).row is None
    assert measured(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]]), Tolerance(0, 0)).row is None


def test_a_given_tolerance_is_held_by_each_element_alone() -> None:
    b = sink(1, T, D)
    a = b + 0.01
    assert outcome(a, b, limits=Limits(rtol=1.0, atol=0.02)) is Outcome.SAME
    assert outcome(a, b, limits=Limits(rtol=0.0, atol=0.009)) is Outcome.DIFFERENT
    # Given rtol alone, what is small is measured against its own row.
    assert outcome(a, b, limits=Limits(rtol=1e-3)) is Outcome.DIFFERENT


@pytest.mark.parametrize("shape", [(3, 7, 5), (2, 500), (1000,), (4, 1, 1), ()])
def test_rows_are_numpy_s_however_long_and_many_they_are(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    b = normal(*shape).reshape(shape) + 3
    a = b * (1 + 1e-3 * normal(*shape, seed=1).reshape(shape))
    wide = rows.row_layout(shape).width
    x, y = (side.astype(np.float64).reshape(-1, wide) for side in (a, b))
    norms = np.linalg.norm(y, axis=1)
    judged = np.linalg.norm(x - y, axis=1) / np.maximum(norms, np.sort(norms)[(norms.size - 1) // 2])
    expected = (np.linalg.norm(x - y, axis=1) / norms)[judged.argmax()]
    for block, longest, most in ((1 << 18, 1 << 22, 1 << 20), (64, 64, 1 << 20), (64, 1 << 22, 1 << 20)):
        monkeypatch.setattr(rows, "BLOCK", block)
        monkeypatch.setattr(rows, "_LONGEST", longest)
        monkeypatch.setattr(rows, "_MOST_ROWS", most)
        found = measured(a, b)
        assert found.numel == a.size
        assert found.relative == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(y))
        assert found.furthest == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(rows, "_MOST_ROWS", 2)
    assert rows.row_layout((3, 7, 5)).width == 105
    assert measured(a, b).relative == pytest.approx(np.linalg.norm(x - y) / np.linalg.norm(y))


def test_a_token_that_was_huge_keeps_its_rounding() -> None:
    before = sink(1, T, D)
    after = before.copy()
    after[0, 0, 3] = 1
    norm = after / np.sqrt(np.square(after).mean(-1, keepdims=True))
    right = trace_of({"model.layers.1:attn_residual": before, SITE: after, "model.norm": norm})

    def compared(token: int) -> list[Outcome]:
        a, b = after.copy(), norm.copy()
        a[0, token] += 0.002 * normal(D, seed=3)
        b[0, token] = a[0, token] / np.sqrt(np.square(a[0, token]).mean())
        sides = trace_of({"model.layers.1:attn_residual": before, SITE: a, "model.norm": b})
        return [site.outcome for site in compare(sides, right).sites[1:]]

    assert compared(0) == [Outcome.SAME, Outcome.SAME]
    assert compared(4) == [Outcome.DIFFERENT, Outcome.DIFFERENT]


def test_a_channel_that_is_huge_in_all_tokens_has_huge_rounding() -> None:
    b = normal(1, T, D)
    b[..., 7] = 4000 * normal(1, T, seed=5)
    b[0, 6, 7] = 3
    a = b.copy()
    a[0, 6, 7] += 2 * 8 * 2e-3 * np.median(np.linalg.norm(b, axis=-1)) / np.sqrt(D)
    assert outcome(a, b, "float16") is Outcome.SAME
    a = b.copy()
    a[0, 6, 8] += 2 * 8 * 2e-3 * np.median(np.linalg.norm(b, axis=-1)) / np.sqrt(D)
    assert outcome(a, b, "float16") is Outcome.DIFFERENT
