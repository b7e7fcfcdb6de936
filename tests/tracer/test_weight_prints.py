"""What a trace remembers of its weights, and what a comparison of two makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.models.hf_files import change_config, saved
from tests.models.quantised.folders import quantised, with_weights
from tests.models.quantised.packing import FORMS
from tracetui.analysis.diff.report import Report, report
from tracetui.errors import InputError
from tracetui.models.weights.weight_prints import digest, print_of
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.npz.reader import read_trace
from tracetui.recording.npz.writer import write_trace
from tracetui.recording.trace import Trace
from tracetui.recording.weight_prints import SAMPLED
from tracetui.tracer.run import trace_recipe
from tracetui.views.diff.as_json import diff_json
from tracetui.views.diff.report import diff_lines, verdict

IDS = [5, 17, 3, 99, 42]
DOWN = "model.layers.0.mlp.down_proj.weight"


def traced(folder: Path, dtype: str = "float32") -> Trace:
    return trace_recipe(with_options(load_recipe(str(folder)), dtype=dtype), ids=IDS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("plain") / "m", num_hidden_layers=1)


@pytest.fixture(scope="module")
def original(plain: Path) -> Trace:
    return traced(plain)


def changed(plain: Path, folder: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Path:
    weights = load_file(plain / "model.safetensors")
    return with_weights(plain, folder, {**weights, name: change(weights[name])})


def told(a: Trace, b: Trace) -> tuple[Report, str]:
    found = report(a, b)
    return found, " ".join(" ".join(diff_lines(found, ("a.npz", "b.npz"))).split())


def test_every_weight_that_was_read_is_remembered_and_comes_back_from_a_file(
    original: Trace, plain: Path, tmp_path: Path
) -> None:
    stored = load_file(plain / "model.safetensors")
    whole = {name: weight for name, weight in original.weights.items() if "[" not in name}
    assert whole.keys() == stored.keys() - {"model.embed_tokens.weight"}
    assert original.weights["model.embed_tokens.weight[rows]"].shape == (len(set(IDS)), 64)
    for name, weight in whole.items():
        assert weight == print_of(stored[name], "file")
    write_trace(original, tmp_path / "t.npz")
    assert dict(read_trace(tmp_path / "t.npz").weights) == dict(original.weights)


def test_a_digest_is_of_every_byte_and_its_place() -> None:
    weight = torch.randn(70_000, 3, generator=torch.Generator().manual_seed(1))
    known = {digest(weight)}
    for change in ([[1, 0], [0, 1]], [[69_999, 2], [2, 69_999]]):
        other = weight.clone()
        other[change[0]] = weight[change[1]]
        known.add(digest(other))
    for place in (0, 104_999, 209_999):
        other = weight.clone()
        other.view(-1)[place] += 1e-3
        known.add(digest(other))
    assert len(known) == 6
    assert digest(weight.clone()) in known
    odd = torch.arange(13, dtype=torch.uint8)
    assert len({digest(odd), digest(odd[:12]), digest(odd.flip(0)), digest(odd[3:])}) == 4
    assert len(print_of(weight, "file").sample) == SAMPLED


def test_equal_weights_are_not_mentioned(original: Trace, plain: Path) -> None:
    found, text = told(traced(plain), original)
    assert found.comparison.weights.compared == len(original.weights)
    assert found.comparison.same
    assert "remember" not in text


def test_weights_in_another_dtype_are_no_other_weights(original: Trace, plain: Path) -> None:
    assert not told(traced(plain, "bfloat16"), original)[0].comparison.weights.pairs


def test_a_quantised_checkpoint_beside_its_original_is_no_search_for_a_fault(
    original: Trace, plain: Path, tmp_path: Path
) -> None:
    folder, _ = quantised(plain, tmp_path / "q", FORMS["int4, group, symmetric"])
    found, text = told(traced(folder), original)
    assert found.comparison.weights.quantised == "A"
    assert len(found.comparison.weights.pairs) == 7
    assert all(0.02 < pair.relative < 0.3 for pair in found.comparison.weights.pairs)
    assert "weights 7 of the 12 that both traces remember differ, by about 0.0" in text
    assert "A's are dequantised: a quantised model beside its original is no search for a fault" in text
    assert "first at model.layers.0.self_attn.q_proj, whose inputs agree and whose weight differs (about 0." in text
    assert "the fault is" not in text
    assert not found.at_fault
    assert not found.hints
    assert '"quantised": "A"' in "".join(diff_json(found))
    assert "config" not in text


def test_a_weight_of_which_one_element_differs_is_named(original: Trace, plain: Path, tmp_path: Path) -> None:
    def one(weight: torch.Tensor) -> torch.Tensor:
        weight[7, 9] += 3
        return weight

    found, text = told(traced(changed(plain, tmp_path / "m", DOWN, one)), original)
    assert [pair.name for pair in found.comparison.weights.pairs] == [DOWN]
    assert f"1 of the 12 that both traces remember differ, by a few elements: {DOWN} (a few elements)" in text
    assert "whose weight differs (a few elements): no fault of what computes there" in verdict(found)


def test_a_fault_of_an_operation_is_still_blamed_on_it(original: Trace, plain: Path, tmp_path: Path) -> None:
    folder = changed(plain, tmp_path / "m", DOWN, lambda weight: weight)
    found, text = told(traced(change_config(folder, rms_norm_eps=0.3)), original)
    assert found.first is not None
    assert found.first.site == "model.layers.0.input_layernorm"
    assert found.at_fault
    assert "remember" not in text


def test_of_experts_those_that_were_hit_are_told_apart(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", "qwen2_moe", num_hidden_layers=1)
    a = traced(plain)
    hit = {name for name in a.weights if "experts.down_proj[" in name}
    number = min(int(name.partition("[")[2][:-1]) for name in hit)
    name = f"model.layers.0.mlp.experts.{number}.down_proj.weight"
    b = traced(changed(plain, tmp_path / "m", name, lambda weight: weight * 1.1))
    found, text = told(a, b)
    (pair,) = found.comparison.weights.pairs
    assert (pair.name, pair.owner) == (
        f"model.layers.0.mlp.experts.down_proj[{number}]",
        f"model.layers.0.mlp.experts.{number}",
    )
    assert pair.relative == pytest.approx(1 - 1 / 1.1, rel=1e-4)
    assert f"first at model.layers.0.mlp.experts.{number}" in text
    assert "whose down_proj differs (about 0.0909 of B's)" in text


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("sample", "AAA", "sample: must be base64"),
        ("sample", "AAAA", r"sample: must be of 1 float32 numbers, for a weight of the shape \[1\], got '3 bytes'"),
        ("sample", "A" * 400, "sample: must be of 1 float32 numbers"),
        ("shape", [30, 50], "sample: must be of 64 float32 numbers"),
        ("shape", [2, 0], "sample: must be of 0 float32 numbers"),
        ("digest", "0", "digest: must be 16 digits"),
    ],
)
def test_what_no_trace_remembers_is_refused(
    original: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, value: str, problem: str
) -> None:
    from tracetui.recording.npz import encode

    def forms(weights: object) -> dict[str, object]:
        fields = {"shape": [1], "dtype": "float32", "provenance": "", "digest": "0" * 16, "sample": "AAAAAA=="}
        return {"w": {**fields, field: value}}

    monkeypatch.setattr(encode, "weight_forms", forms)
    write_trace(replace(original), tmp_path / "t.npz")
    with pytest.raises(InputError, match=rf"weights.w.{problem}"):
        read_trace(tmp_path / "t.npz")
