"""Which remarks on weights need nobody's attention: those that checkpoints make themselves."""

from __future__ import annotations

from tracetui.models.checkpoints.report import fit
from tracetui.models.runnable import RANDOM_REMARK
from tracetui.recording.trace import dequantised, is_reassuring


def test_only_whole_files_and_what_was_quantised_reassure() -> None:
    present = {"model.norm.weight": True, "lm_head.weight": True}
    assert [is_reassuring(note) for note in fit("model.gguf", present, [])] == [True]
    assert is_reassuring(dequantised("model.gguf", "210 from Q4_1; 1 from Q8_0"))


def test_what_is_missing_or_read_over_and_random_weights_do_not() -> None:
    part = fit("model.gguf", {"model.norm.weight": True, "lm_head.weight": False}, ["spare.weight"])
    assert len(part) == 2
    assert [note for note in (*part, RANDOM_REMARK) if is_reassuring(note)] == []
