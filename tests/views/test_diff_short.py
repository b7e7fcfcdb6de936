"""A finding in two lines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.survey import survey
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.recording.weight_prints import WeightPrint
from tracetui.views.diff.one_line import short_lines

PATH = "model.layers.0"
SITES = (f"{PATH}:input", f"{PATH}.input_layernorm", f"{PATH}.self_attn.q_proj")


def of(site: str, a: Trace, b: Trace) -> str:
    finding = survey(report(a, b)).finding(site)
    assert finding is not None
    return short_lines(finding)[0]


def arrays(*off: str) -> dict[str, Array]:
    return {site: normal(1, 5, 8, seed=place) + np.float32(site in off) for place, site in enumerate(SITES)}


@pytest.mark.parametrize(
    ("off", "site", "told"),
    [
        ((), SITES[1], "agrees, 0·|b|"),
        (SITES[1:], SITES[1], " · inputs agree: made here"),
        (SITES[1:], SITES[2], " · its inputs differ too"),
    ],
)
def test_it_says_how_far_and_where_it_is_made(off: tuple[str, ...], site: str, told: str) -> None:
    assert of(site, trace_of(arrays(*off)), trace_of(arrays())).endswith(told)


def with_weights(trace: Trace, *places: str) -> Trace:
    """The same, of a run that read weights whose numbers are their digests."""
    prints = {
        f"{SITES[2]}.{name}": WeightPrint((1,), "float32", "file", value, (float(value),))
        for name, value in zip(("weight", "bias"), places, strict=False)
    }
    return replace(trace, weights=prints)


@pytest.mark.parametrize(
    ("off", "weights", "told"),
    [
        (SITES[2:], (("1.0",), ("1.1",)), " · its weight differs"),
        (SITES[2:], (("1.0", "2.0"), ("1.1", "2.1")), " · its weights differ"),
        (SITES[2:], (("1.0",), ("1.0",)), " · inputs agree: made here"),
        (SITES[1:], (("1.0",), ("1.1",)), " · its inputs differ too"),
    ],
)
def test_other_weights_are_told_where_inputs_agree(
    off: tuple[str, ...], weights: tuple[tuple[str, ...], tuple[str, ...]], told: str
) -> None:
    a, b = (with_weights(trace_of(arrays(*sites)), *of_side) for sites, of_side in zip((off, ()), weights, strict=True))
    assert of(SITES[2], a, b).endswith(told)


def test_inputs_of_which_some_were_not_compared_are_not_said_to_differ() -> None:
    finding = survey(report(trace_of(arrays(SITES[2])), trace_of(arrays()))).finding(SITES[2])
    assert finding is not None
    lacking = replace(finding, feeds=replace(finding.feeds, missing=True))
    assert "·|b|" in short_lines(lacking)[0]
    assert "inputs" not in short_lines(lacking)[0]


def test_nan_shapes_and_edits_are_said_instead() -> None:
    a, b = arrays(), arrays()
    a[SITES[1]][0, 0, 0] = np.nan
    assert of(SITES[1], trace_of(a), trace_of(b)).startswith("NaN or Inf on one side · inputs agree")
    a[SITES[1]] = normal(1, 5, 9)
    assert of(SITES[1], trace_of(a), trace_of(b)) == "shapes differ"
    edited = trace_of(arrays(SITES[1]))
    edited = replace(edited, records=tuple(replace(one, edited=one.site == SITES[1]) for one in edited.records))
    assert of(SITES[1], edited, trace_of(b)).endswith(" · an edit of A changed it")
