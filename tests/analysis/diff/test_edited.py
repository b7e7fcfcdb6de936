"""What an edit changed is no fault: not in the comparison, and not by rounding noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.rounding.noise import NoiseReport, Verdict, measure_noise
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.views.diff.noise import noise_verdict
from tracetui.views.diff.report import diff_lines

LAYER = "model.layers.0"
INPUT, NORM, Q, K, V, PROBS, HEADS, OUT = (
    f"{LAYER}{place}"
    for place in (":input", ".input_layernorm", ".self_attn:q", ".self_attn:k", ".self_attn:v", ".self_attn:probs",
                  ".self_attn:heads", ".self_attn.o_proj")
)  # fmt: skip


def arrays(**changed: float) -> dict[str, Array]:
    """Of one layer; what is changed is so by a factor from then on."""
    found = {INPUT: normal(1, 6, 16)}
    found[NORM] = found[INPUT] / np.sqrt(np.square(found[INPUT]).mean(-1, keepdims=True))
    found |= {site: normal(1, 2, 6, 8, seed=place) for place, site in enumerate((Q, K, V, HEADS))}
    found[HEADS] = found[HEADS] * np.float32(changed.get("heads", 1))
    found[OUT] = found[HEADS].swapaxes(1, 2).reshape(1, 6, 16)
    return found


def edited(trace: Trace, *sites: str, edits: tuple[str, ...] = ("one",)) -> Trace:
    records = tuple(replace(record, edited=record.site in sites) for record in trace.records)
    return replace(trace, records=records, run=replace(trace.run, recipe={"edits": list(edits)}))


def measured(a: Trace, b: Trace, exact: Mapping[str, Array]) -> NoiseReport:
    return measure_noise(report(a, b), "B", trace_of({site: array.astype(np.float64) for site, array in exact.items()}))


def test_an_edited_site_is_no_fault() -> None:
    right = arrays()
    a, b = edited(trace_of(arrays(heads=1.5)), HEADS), trace_of(right)
    found = report(a, b)
    assert found.first is not None
    assert found.first.site == HEADS
    assert not found.at_fault
    assert not found.hints
    assert "where an edit of A changed it" in " ".join("\n".join(diff_lines(found, ("A", "B"))).split())
    noise = measured(a, b, right)
    assert not noise.suspects
    assert [site.site.site for site in noise.sites if site.verdict is Verdict.EDITED] == [HEADS]
    assert "no fault" in noise_verdict(noise)


def test_the_same_edit_on_both_sides_explains_nothing() -> None:
    a, b = (edited(trace_of(side), HEADS) for side in (arrays(heads=1.5), arrays()))
    assert report(a, b).at_fault
    assert measured(a, b, arrays()).suspects
    other = edited(trace_of(arrays()), HEADS, edits=("another",))
    assert not report(a, other).at_fault


def test_an_edit_on_the_way_is_no_fault_of_what_comes_after() -> None:
    with_probs = {site: array for site, array in arrays(heads=1.5).items() if site not in (HEADS, OUT)}
    with_probs[PROBS] = normal(1, 2, 6, 6, seed=8)
    with_probs |= {site: arrays(heads=1.5)[site] for site in (HEADS, OUT)}
    a, b = edited(trace_of(with_probs), PROBS), trace_of(arrays())
    found = report(a, b)
    assert found.first is not None
    assert found.first.site == HEADS
    assert not found.at_fault
    assert f"an edit of A changed {PROBS} on the way" in " ".join("\n".join(diff_lines(found, ("A", "B"))).split())
    assert not measured(a, b, arrays()).suspects


def test_noise_goes_by_the_worst_row() -> None:
    right = {INPUT: normal(1, 20, 64)}
    right[INPUT][0, 0, 3] = 22_500
    wrong = {INPUT: right[INPUT].copy()}
    wrong[INPUT][0, 7] *= 1.36
    wrong[INPUT][0, 7, :9] *= -1
    for side in (right, wrong):
        side[NORM] = side[INPUT] / np.sqrt(np.square(side[INPUT]).mean(-1, keepdims=True))
    exact = {site: array * (1 + 1e-7 * normal(*array.shape, seed=2)) for site, array in right.items()}
    found = measured(trace_of(wrong), trace_of(right), exact)
    assert not found.suspects
    norm = found.of(NORM)
    assert norm is not None
    assert norm.verdict is Verdict.CARRIED
