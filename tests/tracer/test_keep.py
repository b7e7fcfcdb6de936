"""What a run keeps: sites by pattern, room in memory and on disk, and attention's full matrices."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tracer.latent_models import fields
from tests.tracer.recipes import recipe
from tracetui.analysis.attention.kinds import KINDS
from tracetui.analysis.attention.mla import latent_of
from tracetui.analysis.attention.scores import attention_at
from tracetui.analysis.prediction import next_tokens
from tracetui.debugger.session import Started
from tracetui.recipe import Layers, texts
from tracetui.recording.keep import Room, parse_keep
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.spill import SpilledValue, whereabouts
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError, StatisticsValue, is_kept
from tracetui.tracer.run import trace_recipe

LATENT = {"config": {}, "layers": Layers(0, 2)}


def kept_sites(trace: Trace) -> set[str]:
    return {record.site for record, value in zip(trace.records, trace.values, strict=True) if is_kept(value)}


def assert_same_statistics(found: Trace, whole: Trace) -> None:
    assert [record.key for record in found.records] == [record.key for record in whole.records]
    for here, there in zip(found.values, whole.values, strict=True):
        assert repr(here.statistics()) == repr(there.statistics())


def test_of_sites_that_nobody_wants_there_are_statistics_alone() -> None:
    whole, some = trace_recipe(recipe()), trace_recipe(recipe(keep=parse_keep(["layers.1.mlp", "*.q_proj"], "")))
    assert_same_statistics(some, whole)
    kept = kept_sites(some)
    assert "model.layers.1.mlp" in kept
    assert {f"model.layers.{layer}.self_attn.q_proj" for layer in range(3)} <= kept
    assert "model.layers.0.mlp" not in kept
    assert "model.layers.1.mlp.gate_proj" not in kept
    with pytest.raises(NotKeptError):
        some["model.layers.0.mlp"]
    np.testing.assert_array_equal(some["model.layers.1.mlp"], whole["model.layers.1.mlp"])


def test_a_tensor_under_two_sites_is_kept_if_either_is_wanted() -> None:
    """The last module's output is the model's: `logits` are lm_head's."""
    for pattern in ("logits", "lm_head"):
        trace = trace_recipe(recipe(keep=parse_keep([pattern], "")))
        assert pattern in kept_sites(trace)


def test_statistics_alone_make_a_small_file_that_says_so(tmp_path: Path) -> None:
    trace = trace_recipe(recipe(keep=parse_keep(["stats"], "")))
    assert kept_sites(trace) == set()
    assert trace.vocabulary, "the best tokens are named all the same"
    write_trace(trace, tmp_path / "t.npz")
    found = read_trace(tmp_path / "t.npz")
    assert_same_statistics(found, trace)
    assert found.run.recipe["keep"] == ["stats"]
    with pytest.raises(NotKeptError):
        next_tokens(found, 1)


def test_a_pattern_without_a_site_is_a_note() -> None:
    trace = trace_recipe(recipe(keep=parse_keep(["layrs.1", "lm_head"], "")))
    assert "--keep layrs.1: no site has that name" in trace.run.notes
    assert not any("lm_head" in note for note in trace.run.notes)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_values_beyond_memory_lie_on_disk_and_read_the_same(tmp_path: Path, dtype: str) -> None:
    folder = tmp_path / "spill"
    folder.mkdir()
    whole = trace_recipe(recipe(dtype=dtype))
    spilled = trace_recipe(recipe(dtype=dtype, room=Room(memory=2000, folder=folder)))
    assert list(folder.iterdir()) == [], "the file has no name"
    there = [value for value in spilled.values if isinstance(value, SpilledValue)]
    assert len(there) > 20
    assert {whereabouts(value) for value in spilled.values} == {"", "spilled to disk"}
    assert_same_statistics(spilled, whole)
    for here, value in zip(spilled.values, whole.values, strict=True):
        np.testing.assert_array_equal(here.read(), value.read())
        part = (slice(None), slice(1, 3)) if len(value.shape) > 1 else ()
        np.testing.assert_array_equal(here.read(part), value.read(part))
    write_trace(whole, tmp_path / "whole.npz")
    write_trace(spilled, tmp_path / "spilled.npz")
    arrays = (np.load(tmp_path / "whole.npz"), np.load(tmp_path / "spilled.npz"))
    for key in arrays[0].files:
        if key != "__timing__":
            np.testing.assert_array_equal(arrays[0][key], arrays[1][key], err_msg=key)


def test_the_file_goes_with_the_last_value(tmp_path: Path) -> None:
    spilled = trace_recipe(recipe(room=Room(memory=0, folder=tmp_path)))
    value = next(value for value in spilled.values if isinstance(value, SpilledValue))
    descriptor = value.file.descriptor
    os.fstat(descriptor)
    del spilled, value
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_when_the_disk_s_share_is_used_up_statistics_stay(tmp_path: Path) -> None:
    whole = trace_recipe(recipe())
    trace = trace_recipe(recipe(room=Room(memory=5000, disk=100_000, folder=tmp_path)))
    assert {whereabouts(value) for value in trace.values} == {"", "spilled to disk", "statistics only"}
    assert_same_statistics(trace, whole)
    lost = len({id(value) for value in trace.values if isinstance(value, StatisticsValue)})
    assert any(f"the values of {lost} tensors are missing" in note for note in trace.run.notes)


@pytest.mark.parametrize("nth", [1, 2, 7])
def test_a_disk_that_fails_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
    whole, calls, write = trace_recipe(recipe()), [0], os.pwrite

    def failing(*arguments: Any) -> int:
        calls[0] += 1
        if calls[0] >= nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", failing)
    trace = trace_recipe(recipe(room=Room(memory=0, folder=tmp_path)))
    assert calls[0] == nth, "after the first failure nothing is tried"
    assert_same_statistics(trace, whole)
    for here, value in zip(trace.values, whole.values, strict=True):
        if is_kept(here):
            np.testing.assert_array_equal(here.read(), value.read())
    assert any("No space left on device (--spill-folder)" in note for note in trace.run.notes)


def test_a_folder_that_can_t_be_made_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    trace = trace_recipe(recipe(room=Room(memory=0, folder=tmp_path / "file" / "x")))
    assert any("--spill-folder" in note for note in trace.run.notes)


def test_a_plan_counts_what_may_lie_in_memory() -> None:
    plans = []
    for room in (Room(memory=2**40), Room(memory=3000)):
        trace_recipe(recipe(room=room), emit=lambda event: plans.append(event) if isinstance(event, Started) else None)
    assert plans[0].plan.activations > 3000
    assert plans[1].plan.activations == 3000


def batch(**more: Any) -> Any:
    return recipe(prompts=texts("the answer to", "the"), **more)


def test_the_matrices_are_those_of_queries_and_keys_and_stand_before_the_heads(tmp_path: Path) -> None:
    trace = trace_recipe(batch(attention="probs"))
    for layer in range(3):
        path = f"model.layers.{layer}.self_attn"
        sites = [record.site for record in trace.records]
        at = sites.index(f"{path}:mask")
        assert sites[at + 1 : at + 5] == [f"{path}:{role}" for role in (*KINDS, "heads")]
    write_trace(trace, tmp_path / "t.npz")
    found = read_trace(tmp_path / "t.npz")
    for kind in KINDS:
        record = trace.find(f"model.layers.2.self_attn:{kind}")
        assert record is not None
        view = attention_at(trace, record)
        assert view is not None
        expected = np.array([[view.matrix(kind, head, row) for head in range(4)] for row in range(2)])
        assert record.shape == expected.shape
        for source in (trace, found):
            np.testing.assert_array_equal(source[record.key], expected)
            np.testing.assert_array_equal(source.value(record).read((1, slice(1, 3), 2)), expected[1, 1:3, 2])
            np.testing.assert_array_equal(source.value(record).read((0, -1)), expected[0, -1])
        assert repr(found.statistics(record)) == repr(trace.statistics(record))
    assert found.run.recipe["attention"] == "probs"


def test_latent_attention_has_its_absorbed_scores_too() -> None:
    config = fields("deepseek_v3", vocab_size=4200)
    trace = trace_recipe(recipe(config={**config}, layers=Layers(0, 2), attention="scores"))
    record = trace.find("model.layers.1.self_attn:absorbed_scores")
    assert record is not None
    view = attention_at(trace, record)
    assert view is not None
    latent = latent_of(view)
    assert latent is not None
    np.testing.assert_array_equal(trace.value(record).read((0, 1)), latent.scores(1))
    assert trace.find("model.layers.1.self_attn:probs") is None


def test_what_matrices_are_computed_from_is_kept_with_them() -> None:
    trace = trace_recipe(batch(attention="probs", keep=parse_keep(["layers.1.self_attn:probs"], "")))
    assert kept_sites(trace) == {f"model.layers.1.self_attn:{role}" for role in ("q", "k", "mask", "probs")}


def test_matrices_that_nobody_keeps_have_their_statistics(tmp_path: Path) -> None:
    whole = trace_recipe(batch(attention="probs"))
    for more in ({"keep": parse_keep(["stats"], "")}, {"room": Room(memory=0, disk=0, folder=tmp_path)}):
        trace = trace_recipe(batch(attention="probs", **more))
        assert kept_sites(trace) == set()
        assert_same_statistics(trace, whole)
