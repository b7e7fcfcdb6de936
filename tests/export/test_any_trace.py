"""Whatever a file may hold, every export of it is well formed."""

from __future__ import annotations

import csv
import json
from contextlib import suppress
from io import BytesIO
from unicodedata import category

import numpy as np
from hypothesis import HealthCheck, given, settings

from tests.export.test_report import Reader
from tests.recording.made import traces
from tracetui.api.trace import Trace as Public
from tracetui.errors import InputError, RunError
from tracetui.export.heatmaps import Picked, heatmap
from tracetui.export.report.document import write_report
from tracetui.export.tables import csv_lines, json_lines
from tracetui.export.tensors import write_safetensors
from tracetui.recording.trace import Trace

OFTEN = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


@OFTEN
@given(traces())
def test_tables_and_tensors(trace: Trace) -> None:
    rows = list(csv.reader(csv_lines(trace)))
    assert len(rows) == len(trace) + 1
    assert len({len(row) for row in rows}) == 1
    assert len(json.loads("".join(json_lines(trace)))["records"]) == len(trace)
    with suppress(RunError):
        write_safetensors(trace, BytesIO())


@OFTEN
@given(traces())
def test_reports(trace: Trace) -> None:
    file = BytesIO()
    write_report(trace, file)
    page = Reader(file.getvalue())
    assert not {"script", "iframe"} & {tag for tag, _ in page.elements}
    shown = file.getvalue().decode() + Public(trace)._repr_html_()
    assert not {category(char) for char in shown.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@OFTEN
@given(traces())
def test_heatmaps(trace: Trace) -> None:
    for record in trace.records:
        with suppress(InputError):
            found = heatmap(trace, record.key, "--png", Picked())
            assert found.values.ndim == 2
            assert found.values.dtype == np.float64
