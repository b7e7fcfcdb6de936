"""Weights of files, plain in several of them or quantised: each rank keeps its part, and the sums are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.distributed.models import whole
from tests.distributed.ranks import on_ranks
from tests.models.hf_files import saved
from tests.models.quantised.folders import quantised
from tests.models.quantised.packing import FORMS
from tracetui.analysis.diff.report import report
from tracetui.commands.ranked_trace import ranked_trace
from tracetui.commands.traces import trace
from tracetui.models.ranks.local import local_tensor
from tracetui.models.ranks.standing import StandingWeights
from tracetui.options.parser import parse
from tracetui.recording.npz import read_trace


def _in_files(family: str) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        whole(family).save_pretrained(folder / family, max_shard_size="20KB")
        assert len(list((folder / family).glob("*.safetensors"))) > 2
        return folder / family

    return save


def _quantised(form: str) -> Callable[[Path], Path]:
    return lambda folder: quantised(saved(folder / "plain", num_hidden_layers=1), folder / "q", FORMS[form])[0]


def _traced(rank: int, words: Sequence[str]) -> tuple[int, int, int]:
    """The exit status, the bytes of this rank's part of the weights, and those that are kept for it."""
    held: list[StandingWeights] = []
    with pytest.MonkeyPatch.context() as patch:
        make = StandingWeights.make

        def made(weights: StandingWeights) -> None:
            held.append(weights)
            make(weights)

        patch.setattr(StandingWeights, "make", made)
        status = ranked_trace(parse(words))
    weights = held[0]
    here = [local_tensor(slot.look(module)) for module, slot in weights.all_slots()]  # type: ignore[arg-type]
    return status, weights.local_bytes, sum(tensor.untyped_storage().nbytes() for tensor in here)


@pytest.mark.parametrize(
    ("save", "options"),
    [
        (_in_files("Llama"), ()),
        (_in_files("Mixtral"), ("--ep", "2")),
        (_quantised("gptq, activation order"), ()),
        (_quantised("modelopt nvfp4"), ()),
    ],
)
def test_what_files_hold_is_shared_out(save: Callable[[Path], Path], options: tuple[str, ...], tmp_path: Path) -> None:
    folder = save(tmp_path)
    words = ["trace", str(folder), "--tokens", "5,17,3,99,42", "--dtype", "float32", "-o"]
    assert trace(parse([*words, str(tmp_path / "one.npz")])) == 0
    ranks = on_ranks(2, _traced, [*words, str(tmp_path / "many.npz"), *options])
    assert [status for status, _, _ in ranks] == [0, 0]
    # Nothing keeps more than this rank's part: no tensor is a view of a larger one.
    assert all(kept == own for _, own, kept in ranks)
    one, many = read_trace(tmp_path / "one.npz"), read_trace(tmp_path / "many.npz")
    assert {record.key for record in one.records} == {record.key for record in many.records}
    assert report(many, one).comparison.same
