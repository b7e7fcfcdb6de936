"""What real mixtures of experts recorded adds up, whatever their router."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.tracer.mixture_models import FAMILIES, tiny_mixture
from tests.tracer.models import prompt
from tracetui.analysis.experts.block import sum_identity
from tracetui.analysis.experts.choice import margins
from tracetui.analysis.experts.routing import read_routing, routing_records
from tracetui.analysis.identity import Identity
from tracetui.tracer.call import record_call


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weighted_sum_and_the_shared_part_are_the_output(family: str, dtype: torch.dtype) -> None:
    trace = record_call(tiny_mixture(family, dtype), input_ids=prompt(rows=2), use_cache=False)
    records = routing_records(trace.records)
    assert records
    for record in records:
        found = read_routing(trace, record)
        checked = sum_identity(trace, found)
        assert isinstance(checked, Identity), checked
        assert checked.holds, checked
        assert found.criterion is not None
        rounding = (
            0.0 if dtype is torch.float32 else 2.0**-6 * np.abs(found.criterion[np.isfinite(found.criterion)]).max()
        )
        assert margins(found.criterion, found.experts).min() >= -rounding
