"""What quantising did, as a file for a browser: of a measurement, and of two traces."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

from tests.export.test_report import EVIL, Reader, sections, written
from tests.ui.comparing import faulty, reference
from tests.views.quantised.test_tables import REPORT
from tracetui.analysis.diff.report import report
from tracetui.export.report.quantised import write_quantised
from tracetui.recording.trace import Trace
from tracetui.recording.weight_prints import WeightPrint


def test_a_measurement_is_a_report_of_its_own_with_a_section_for_each_table() -> None:
    file = BytesIO()
    assert write_quantised(REPORT, file) == "layers, kinds, weights, positions, own errors"
    page = Reader(file.getvalue())
    assert sections(page) == ["layer", "kind", "matrix", "position", "weight"]
    for text in ("all of them swapped: KL 0.42 nats a token", "layers.1.mlp.up_proj", "·city", "alone they add up"):
        assert text in page.text
    widths = [attributes["style"] for attributes in page.named("span") if "style" in attributes]
    assert widths[:2] == ["width:100%", "width:10%"]


def test_hostile_names_stay_texts() -> None:
    file = BytesIO()
    parts = tuple(replace(part, name=EVIL) for part in REPORT.parts)
    write_quantised(replace(REPORT, original=EVIL, parts=parts, notes=(EVIL,)), file)
    assert not Reader(file.getvalue()).named("script")


def remembering(trace: Trace, sample: float, provenance: str) -> Trace:
    print_ = WeightPrint((8, 8), "float32", provenance, f"{sample}", (sample,) * 64)
    return replace(trace, weights={"model.layers.0.mlp.up_proj.weight": print_})


def test_two_traces_have_a_section_of_the_weights_that_differ() -> None:
    b = reference()
    a = remembering(faulty(b), 1.0, "dequantised")
    page = Reader(written(a, report=report(a, remembering(b, 1.25, "file")), names=("a", "b")))
    assert sections(page)[:2] == ["diff", "weights"]
    assert "A's are dequantised" in page.text
    assert "model.layers.0.mlp.up_proj.weight0.2dequantisedfile" in page.text
    same = report(remembering(a, 1.0, "file"), remembering(b, 1.0, "file"))
    assert "weights" not in sections(Reader(written(a, report=same, names=("a", "b"))))
