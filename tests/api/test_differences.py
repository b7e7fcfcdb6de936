"""`tracetui.diff` and `assert_same_trace`: the first divergence, wherever the tensors come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import tracetui
from tests.analysis.diff.made import normal
from tests.cli.running import Here
from tests.tracer.models import prompt, tiny_llama
from tracetui.errors import InputError
from tracetui.recording.value import Array
from tracetui.testing import assert_same_trace


@pytest.fixture(scope="module")
def right() -> tracetui.Trace:
    return tracetui.trace(tiny_llama(), input_ids=prompt(), use_cache=False)


@pytest.fixture(scope="module")
def wrong() -> tracetui.Trace:
    """The same model with one norm's epsilon too large."""
    model = tiny_llama()
    norm: Any = model.model.layers[1].post_attention_layernorm
    norm.variance_epsilon = 0.3
    return tracetui.trace(model, input_ids=prompt(), use_cache=False)


def test_the_first_divergence_is_the_planted_one(right: tracetui.Trace, wrong: tracetui.Trace) -> None:
    found = tracetui.diff(wrong, right)
    assert not found.same
    assert found.first is not None
    assert found.first.site == "model.layers.1.post_attention_layernorm"
    assert "The norm's epsilon is larger in A" in str(found)
    assert repr(found).startswith("<Diff: Different: ")
    assert tracetui.diff(right, right).same
    assert tracetui.diff(wrong, right, rtol=10, atol=1e3).same


def test_str_is_what_the_command_prints(
    right: tracetui.Trace,
    wrong: tracetui.Trace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    wrong.save(a)
    right.save(b)
    said = Here(monkeypatch, capsys)("diff", str(a), str(b))
    assert said.status == 1
    assert f"{tracetui.diff(a, str(b))}\n" == said.out


def test_the_message_is_the_first_divergence(right: tracetui.Trace, wrong: tracetui.Trace) -> None:
    assert_same_trace(right, right.recorded)
    with pytest.raises(AssertionError) as failed:
        assert_same_trace(wrong, right)
    lines = str(failed.value).splitlines()
    assert lines[:2] == ["the traces differ", "First divergence: model.layers.1.post_attention_layernorm"]
    assert "its inputs agree: the fault is made here" in str(failed.value)
    assert lines[-1].startswith("Different: ") or lines[-2].startswith("Different: ")


def test_dicts_of_arrays_are_compared_too(right: tracetui.Trace) -> None:
    arrays = {key: right[key] for key in ("model.embed_tokens", "model.layers.0", "logits")}
    assert_same_trace(arrays, right)
    arrays["model.layers.0"] = arrays["model.layers.0"] + np.float32(0.5)
    with pytest.raises(AssertionError, match=r"First divergence: model\.layers\.0"):
        assert_same_trace(arrays, right)
    assert "3 arrays" in str(tracetui.diff(arrays, right))


def test_traces_with_nothing_in_common_are_not_the_same(right: tracetui.Trace) -> None:
    with pytest.raises(AssertionError, match="Nothing to compare"):
        assert_same_trace({"somewhere": np.ones(3)}, right)


def test_other_tokens_are_said_although_no_number_differs(right: tracetui.Trace) -> None:
    class Constant(nn.Module):
        def forward(self, ids: Any) -> Any:
            return ids[:, :1] * 0

    a, b = (tracetui.trace(Constant(), ids) for ids in (prompt(), prompt() * 2 % 61))
    with pytest.raises(AssertionError, match="tokens"):
        assert_same_trace(a, b)


@pytest.mark.parametrize("limits", [{"rtol": -1.0}, {"atol": float("nan")}, {"rtol": float("inf")}])
def test_tolerances_must_be_numbers(right: tracetui.Trace, limits: dict[str, float]) -> None:
    with pytest.raises(tracetui.InputError, match="must be a number from 0 on"):
        tracetui.diff(right, right, **limits)  # type: ignore[arg-type]


def test_what_is_no_trace_is_refused(right: tracetui.Trace) -> None:
    nothing: Any = 3
    with pytest.raises(TypeError, match="got int"):
        tracetui.diff(nothing, right)
    with pytest.raises(tracetui.InputError, match="words: must be an array of numbers"):
        tracetui.diff({"words": np.array(["a"])}, right)
    with pytest.raises(tracetui.InputError, match=r"nowhere\.npz"):
        tracetui.diff("nowhere.npz", right)


def _streams() -> dict[str, Array]:
    return {f"model.layers.{layer}": normal(2, 6, 8, seed=layer) for layer in range(2)}


def _appended(arrays: dict[str, Array]) -> dict[str, list[Array]]:
    """As a hook keeps them that appends to a list, of a prompt of four tokens and two passes with a cache."""
    return {name: [array[:, :4], array[:, 4:5], array[:, 5:]] for name, array in arrays.items()}


def test_lists_that_hooks_append_to_are_passes_beside_one_pass() -> None:
    whole = _streams()
    for diff in (tracetui.diff(_appended(whole), whole), tracetui.diff(whole, _appended(whole))):
        assert diff.same, str(diff)
        assert len(diff.sites) == 6
        assert "stand beside positions 0 to 5" in " ".join(str(diff).split())


def test_a_fault_in_a_later_pass_of_such_lists_is_told_there() -> None:
    whole, wrong = _streams(), _appended(_streams())
    wrong["model.layers.1"][2] = wrong["model.layers.1"][2] * 1.5
    diff = tracetui.diff(wrong, whole)
    assert diff.first is not None
    assert diff.first.site == "model.layers.1@2"


def test_lists_of_arrays_that_no_array_can_hold_are_refused() -> None:
    with pytest.raises(InputError, match=r"model\.layers\.0: must be an array of numbers"):
        tracetui.diff({"model.layers.0": [[1.0, 2.0], [3.0]]}, _streams())  # type: ignore[list-item]
