"""A block's output is the weighted sum of its experts' outputs plus the shared part, and what it is said when not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tiny_moe import DEEPSEEK, QWEN, Family, whole_trace
from tests.ui.tiny_llama import Recorder
from tracetui.analysis.experts import block as moe_block
from tracetui.analysis.experts.block import Shared, has_shared, shared_parts, sum_identity
from tracetui.analysis.experts.routing import Missing, routing
from tracetui.analysis.identity import Identity
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, StatisticsValue

BLOCK = "model.layers.1.mlp"


def at(recorder: Recorder, key: str) -> Record:
    found = recorder.trace.find(key)
    assert found is not None
    return found


def changed(recorder: Recorder, key: str, array: Array) -> None:
    recorder.values[at(recorder, key).index] = ArrayValue(array)


def without(recorder: Recorder, *keys: str) -> Trace:
    """The same trace with the records of some keys under other names."""
    records = [record if record.key not in keys else _renamed(record) for record in recorder.records]
    whole = recorder.trace
    return Trace(whole.run, whole.tokens, records, recorder.values, {})


def _renamed(record: Record) -> Record:
    return Record(record.index, f"lost:{record.index}", record.shape, record.dtype, record.depth)


def checked(trace: Trace, layer: int = 1) -> Identity:
    found = sum_identity(trace, routing(trace, layer))
    assert isinstance(found, Identity)
    return found


@pytest.mark.parametrize("family", [DEEPSEEK, QWEN])
@pytest.mark.parametrize("lengths", [(17,), (17, 5)])
def test_the_sum_is_the_output(family: Family, lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    trace = whole_trace(family, lengths).trace
    found = checked(trace)
    assert found.holds
    assert 0 < found.difference <= found.tolerance < 1e-4
    monkeypatch.setattr(moe_block, "_BLOCK", 100)
    assert checked(trace) == found, "in blocks of columns as at once"


def test_the_tolerance_grows_with_the_sizes_of_the_terms() -> None:
    trace = whole_trace().trace
    found = routing(trace, 1)
    assert found.weights is not None
    sizes = np.abs(trace[f"{BLOCK}.shared_experts"][0].astype(np.float64))  # [N,D]
    for expert in np.unique(found.experts).tolist():
        tokens = trace[f"{BLOCK}.experts.{expert}:tokens"]
        weights = (found.weights * (found.experts == expert)).sum(axis=1, dtype=np.float64)[tokens]
        sizes[tokens] += np.abs(trace[f"{BLOCK}.experts.{expert}"] * weights[:, None])
    assert checked(trace).tolerance == pytest.approx(1e-6 * sizes.max(), rel=1e-9)


@pytest.mark.parametrize("key", [BLOCK, f"{BLOCK}:routing_weights", f"{BLOCK}.shared_experts"])
def test_one_changed_number_breaks_it(key: str) -> None:
    recorder = whole_trace()
    array = recorder.trace[key]
    array.reshape(-1)[7] += 1e-3
    changed(recorder, key, array)
    assert not checked(recorder.trace).holds
    assert checked(recorder.trace, 2).holds


def test_a_nan_breaks_it() -> None:
    recorder = whole_trace()
    array = recorder.trace[BLOCK]
    array[0, 3, 5] = np.nan
    changed(recorder, BLOCK, array)
    assert not checked(recorder.trace).holds


def test_rounding_to_a_narrow_dtype_is_allowed_for() -> None:
    recorder = whole_trace()
    output = at(recorder, BLOCK)
    recorder.values[output.index] = ArrayValue(recorder.trace[BLOCK].astype(np.float16))
    recorder.records[output.index] = Record(output.index, BLOCK, output.shape, "float16", output.depth)
    found = checked(recorder.trace)
    assert found.holds
    assert found.difference > 1e-4


@pytest.mark.parametrize(
    ("lost", "why"),
    [
        (BLOCK, "the output is not recorded yet"),
        (f"{BLOCK}:routing_weights", "the routing weights are not recorded"),
        (f"{BLOCK}.shared_experts", "the shared expert's output is not recorded"),
    ],
)
def test_what_is_missing_is_said_instead_of_a_number(lost: str, why: str) -> None:
    trace = without(whole_trace(), lost)
    assert sum_identity(trace, routing(trace, 1)) == Missing(why)


def test_an_expert_without_a_record() -> None:
    recorder = whole_trace()
    expert = int(recorder.trace[f"{BLOCK}:experts"].min())
    trace = without(recorder, f"{BLOCK}.experts.{expert}")
    assert sum_identity(trace, routing(trace, 1)) == Missing(f"expert {expert}'s output is not recorded")
    recorder.values[at(recorder, BLOCK).index] = StatisticsValue(
        (1, 17, 32), "float32", recorder.values[0].statistics()
    )
    found = sum_identity(recorder.trace, routing(recorder.trace, 1))
    assert found == Missing("only statistics of some of its terms were kept")


def test_the_share_of_the_shared_expert() -> None:
    trace = whole_trace(QWEN).trace
    found = shared_parts(trace, routing(trace, 1), [0, 16])
    assert isinstance(found, list)
    for token, part in zip((0, 16), found, strict=True):
        gate = 1 / (1 + np.exp(-float(trace[f"{BLOCK}.shared_expert_gate"][token, 0])))
        norm = gate * np.linalg.norm(trace[f"{BLOCK}.shared_expert"][token])
        assert part.gate == pytest.approx(gate)
        assert part.norm == pytest.approx(norm, rel=1e-6)
        assert part.share == pytest.approx(norm / np.linalg.norm(trace[BLOCK][0, token]), rel=1e-6)


def test_the_shared_expert_of_deepseek_has_no_gate() -> None:
    recorder = whole_trace()
    found = shared_parts(recorder.trace, routing(recorder.trace, 1), [3])
    assert isinstance(found, list)
    assert found[0].gate is None
    assert 0 < (found[0].share or 0) < 2
    trace = without(recorder, BLOCK)
    assert shared_parts(trace, routing(trace, 1), [3]) == [Shared(found[0].norm, None, None)]
    trace = without(recorder, f"{BLOCK}.shared_experts")
    assert shared_parts(trace, routing(trace, 1), [3]) == Missing("not recorded yet")


def test_a_gated_shared_expert_without_its_gate() -> None:
    trace = without(whole_trace(QWEN), f"{BLOCK}.shared_expert_gate")
    found = routing(trace, 1)
    assert shared_parts(trace, found, [3]) == Missing("gate not recorded yet")
    assert sum_identity(trace, found) == Missing("the shared expert's gate is not recorded")


@pytest.mark.parametrize(
    ("key", "array", "why"),
    [
        (":routing_weights", np.ones((17, 3), np.float32), "the routing weights have the shape [17, 3]"),
        (".experts.{}:tokens", np.full(1, 99), "expert {}'s records don't fit the block's"),
        (".shared_experts", np.zeros((1, 17, 5), np.float32), "the shared expert's output has the shape [1, 17, 5]"),
        (".shared_experts", np.zeros((1, 3, 32), np.float32), "the shared expert's output is not recorded"),
    ],
)
def test_records_that_do_not_fit(key: str, array: Array, why: str) -> None:
    recorder = whole_trace()
    expert = int(recorder.trace[f"{BLOCK}:experts"].min())
    record = at(recorder, BLOCK + key.format(expert))
    changed(recorder, record.key, array)
    recorder.records[record.index] = Record(record.index, record.site, array.shape, str(array.dtype), record.depth)
    found = sum_identity(recorder.trace, routing(recorder.trace, 1))
    assert found == Missing(why.format(expert))


def test_a_block_without_a_shared_expert() -> None:
    recorder = whole_trace(DEEPSEEK)
    assert has_shared(recorder.trace, routing(recorder.trace, 1))
    plain = without(recorder, f"{BLOCK}.shared_experts")
    config = {name: value for name, value in plain.run.config.items() if name != "n_shared_experts"}
    trace = replace(plain, run=replace(plain.run, config=config))
    assert not has_shared(trace, routing(trace, 1))
    assert isinstance(sum_identity(trace, routing(trace, 1)), Identity), "the sum of the experts alone is compared"


def scaled(recorder: Recorder, factor: float) -> Trace:
    """The trace of a block that multiplies the sum of its experts by the configuration's factor."""
    output, shared = recorder.trace[BLOCK], recorder.trace[f"{BLOCK}.shared_experts"]
    changed(recorder, BLOCK, (output - shared) * np.float32(2.5) + shared)
    whole = recorder.trace
    return replace(whole, run=replace(whole.run, config={**whole.run.config, "routed_scaling_factor": factor}))


def test_a_factor_after_the_sum() -> None:
    assert checked(scaled(whole_trace(), 2.5)).holds
    assert not checked(scaled(whole_trace(), 2.4)).holds
    plain = whole_trace().trace
    trace = replace(plain, run=replace(plain.run, config={**plain.run.config, "routed_scaling_factor": 2.5}))
    assert checked(trace) == checked(plain), "a factor that the weights have already"


def test_a_module_that_changes_the_sum() -> None:
    recorder = whole_trace()
    last = at(recorder, f"{BLOCK}.shared_experts")
    norm = replace(last, site=f"{BLOCK}.post_mlp_layernorm")
    trace = without(recorder, f"{BLOCK}.shared_experts")
    records = [norm if record.index == last.index else record for record in trace.records]
    config = {name: value for name, value in trace.run.config.items() if name != "n_shared_experts"}
    trace = Trace(replace(trace.run, config=config), trace.tokens, records, trace.values, {})
    assert sum_identity(trace, routing(trace, 1)) == Missing("post_mlp_layernorm changes what was added up")
