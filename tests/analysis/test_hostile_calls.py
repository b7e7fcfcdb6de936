"""A file may name any scale, softcap or statistics: nothing is raised, and numpy warns nobody."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest

from tests.analysis.diff.made import trace_of
from tests.analysis.test_attention import CALL, SOUND, called
from tests.recording.made import KnownValue
from tracetui.analysis.attention.heads import UnexplainedError, head_identity
from tracetui.analysis.attention.kinds import KINDS
from tracetui.analysis.attention.reach import reach_of
from tracetui.analysis.attention.scores import attention_at
from tracetui.export.report.document import write_report
from tracetui.recording.statistics import Statistics

NUMBERS = (0.0, -1.0, 1e-310, 1e-45, 1e39, -1e308, np.inf, np.nan)
SHAPES = {**SOUND, "bias": (1, 4, 3, 5), "mask": (2, 1, 3, 5)}

OUTPUTS = {"v": (2, 2, 5, 8), "heads": (2, 4, 3, 8)}


@pytest.mark.parametrize("scale", NUMBERS)
def test_any_scale_and_softcap(scale: float) -> None:
    for softcap in (None, *NUMBERS):
        trace = replace(called(**SHAPES), attention={"m:q": replace(CALL, scale=scale, softcap=softcap)})
        view = attention_at(trace, trace.records[0])
        assert view is not None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert all(view.matrix(kind, 1, 0).shape == (3, 5) for kind in KINDS)
            reach_of(view)
        full = replace(called(**SHAPES, **OUTPUTS), attention=trace.attention)
        checked = attention_at(full, full.records[0])
        assert checked is not None
        with warnings.catch_warnings(), suppress(UnexplainedError):
            warnings.simplefilter("error")
            head_identity(checked, 1)
            checked.matrix("probs", 1, 0)


def test_any_norm_of_a_layer_makes_a_report() -> None:
    layers = {f"model.layers.{layer}": np.ones((1, 3, 4), np.float32) for layer in range(3)}
    trace = trace_of(layers)
    for first in NUMBERS:
        for second in (1.0, 5e-324, -1.0, np.nan):
            wrong = (Statistics(12, norm, norm, norm, norm, norm, 0, 0, 0, 0) for norm in (first, second, 5e-324))
            values = [KnownValue(array, "float32", each) for array, each in zip(layers.values(), wrong, strict=True)]
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                write_report(replace(trace, values=tuple(values)), BytesIO())
