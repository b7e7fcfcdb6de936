"""What `tracetui info` says of a trace."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from rich.cells import cell_len

from tests.recording.llama import llama
from tests.recording.made import small_trace, traces
from tracetui.recording import summary
from tracetui.recording.record import Record, Token
from tracetui.recording.statistics import Statistics, of_array
from tracetui.recording.summary import WIDTH, describe
from tracetui.recording.trace import EMPTY_TRACE, RunInfo, Trace
from tracetui.recording.value import ArrayValue, StatisticsValue, Value


def small() -> list[str]:
    return describe(small_trace(rows=17), 20_000)


def line(lines: list[str], title: str) -> str:
    found = [each for each in lines if each.startswith(title)]
    assert len(found) == 1, (title, lines)
    return found[0]


def cells(shown: str) -> int:
    """As rich counts them, but for characters that became wide in a later Unicode than Python's."""
    wide = ("W", "F")
    return sum(min(cell_len(char), 2 if unicodedata.east_asian_width(char) in wide else 1) for char in shown)


@settings(max_examples=50)
@given(trace=traces())
def test_any_trace_is_described_in_80_harmless_columns(trace: Trace) -> None:
    for shown in describe(trace, 12345):
        assert cells(shown) <= WIDTH
        assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_an_empty_trace_has_a_description() -> None:
    assert line(describe(EMPTY_TRACE, 0), "model") == "model      unnamed"


def test_model_config_and_tokens_are_named() -> None:
    lines = small()
    assert line(lines, "model") == "model      tiny"
    assert line(lines, "config") == "config     model_type llama  hidden_size 16"
    assert line(lines, "versions") == "versions   torch 2.13"
    assert line(lines, "tokens") == "tokens     2:  1 <s>  104 <0xE2><0x82>"


def test_fields_of_a_recipe_without_a_value_are_left_out() -> None:
    lines = describe(Trace(RunInfo(recipe={"layout": "", "seed": 0}), (), (), (), {}), 1)
    assert line(lines, "recipe") == "recipe     seed 0"


def test_records_are_counted_by_kind() -> None:
    lines = small()
    assert line(lines, "records") == "records    6 in 2 layers and 1 pass, 5 with values; the run to its end"
    assert line(lines, "dtypes") == "dtypes     float32 4  bfloat16 1  int64 1"
    assert line(lines, "weights") == "weights    random 6"
    values = 17 * (16 * 4 + 16 * 4 + 8 * 8 + 32 * 4)
    assert line(lines, "size") == f"size       19.53 KiB, of which values {values / 1024:.2f} KiB"
    left = describe(replace(small_trace(), complete=False), 0)
    assert "left before its end" in line(left, "records")


def test_the_largest_come_first() -> None:
    lines = small()
    assert line(lines, "largest").split()[1:] == ["2.12", "KiB", "logits", "1×17×32"]


def test_the_first_records_are_listed_with_shape_and_norm() -> None:
    trace = small_trace(rows=17)
    lines = describe(trace, 0)
    listed = lines[lines.index("") + 2 :]
    assert len(listed) == 6
    assert listed[0].split() == ["0", "model.embed_tokens", "1×17×16", f"{trace.values[0].statistics().l2:.4g}"]


def test_long_lists_say_how_much_is_left_out() -> None:
    records = llama(passes=4)
    values: list[Value] = [ArrayValue(np.zeros((1, 4), np.float32))] * len(records)
    tokens = tuple(Token(index, b" x") for index in range(300))
    lines = describe(Trace(RunInfo(), (tokens,), records, values, {}), 0)
    assert lines[-1].strip() == f"and {len(records) - 20} more"
    assert any(each.endswith("and 100 more") for each in lines)


def trace_of(**arrays: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Trace:
    values = [ArrayValue(array) for array in arrays.values()]
    records = [
        Record(index, site.replace("_", ":"), value.shape, "float32", 0)
        for index, (site, value) in enumerate(zip(arrays, values, strict=True))
    ]
    return Trace(RunInfo(), (), records, values, {})


def test_nan_and_inf_are_alarms_but_not_in_a_mask() -> None:
    bad = np.array([np.nan, np.inf, np.inf, -np.inf, 0], np.float32)
    mask = np.array([-np.inf, 0, 0, 0, 0], np.float32)
    lines = describe(trace_of(fine=np.zeros(5, np.float32), attn_mask=mask, attn_masked=mask, attn_scores=bad), 0)
    at = lines.index("NaN, Inf   in 1 of 4 records")
    assert lines[at + 1].split() == ["attn:scores", "nan", "1", "+inf", "2", "-inf", "1"]
    assert line(describe(trace_of(attn_mask=mask), 0), "NaN, Inf") == "NaN, Inf   none"


def test_a_long_site_shows_its_end() -> None:
    site = "model.language_model.encoder.layers.17.self_attention.projection.linear"
    trace = Trace(RunInfo(), (), [Record(0, site, (2,), "float64", 0)], [ArrayValue(np.zeros(2))], {})
    assert "…coder.layers.17.self_attention.projection.linear"[-30:] in describe(trace, 0)[-1]


def test_tables_with_a_million_entries_are_cut() -> None:
    crowd = {f"k{index}": index for index in range(1_000_000)}
    run = RunInfo(recipe=crowd, config={"hidden_act": [0] * 1_000_000}, versions=dict.fromkeys(crowd, "1"))
    lines = describe(replace(EMPTY_TRACE, run=run), 0)
    assert len(lines) < 100
    assert any("(1000000 items)" in line for line in lines)


def test_the_layers_that_were_built_are_told() -> None:
    run = RunInfo(recipe={"layers": [0, 4], "seed": 1})
    assert line(describe(Trace(run, (), [], [], {}), 0), "recipe") == "recipe     layers 0:4  seed 1"
    for strange in ([0], [0, "x"], [[0], 4], {"a": 1}):
        told = describe(Trace(RunInfo(recipe={"layers": strange, "seed": 1}), (), [], [], {}), 0)
        assert line(told, "recipe") == "recipe     seed 1"


def test_named_tensors_of_somebody_s_own_are_no_run() -> None:
    record, value = Record(0, "x", (2,), "float64", 0), ArrayValue(np.zeros(2))
    dump = Trace(RunInfo(), (), [record], [value], {}, dump=True)
    assert line(describe(dump, 0), "records") == "records    1 in 1 pass, 1 with values"


class Unreadable(ArrayValue):
    """Fails a test that reads it."""

    def statistics(self) -> Statistics:
        raise AssertionError("was read")


def dump(count: int, length: int) -> Trace:
    """Arrays without memory behind them."""
    array = np.broadcast_to(np.float32(0), (length,))
    records = tuple(Record(index, f"x{index}", (length,), "float32", depth=0) for index in range(count))
    return Trace(RunInfo(), (), records, (Unreadable(array),) * count, {}, dump=True)


def test_a_dump_that_unpacks_to_a_thousand_times_its_size_is_described_unread() -> None:
    lines = describe(dump(3, 1 << 29), 10_000)
    assert line(lines, "NaN, Inf") == "NaN, Inf   not looked for in 3 arrays of 6.00 GiB; `tracetui export F --csv`"
    assert line(lines, "           does") == "           does"
    assert line(lines, "     2").split() == ["2", "x2", "536870912"]
    with pytest.raises(AssertionError, match="was read"):
        describe(dump(3, 1 << 29), 6 << 30)


def test_a_dump_of_more_arrays_than_any_has_is_described_unread() -> None:
    described = describe(dump(100_001, 1), 10_000_000)
    assert "not looked for in 100,001 arrays of" in line(described, "NaN, Inf")
    with pytest.raises(AssertionError, match="was read"):
        describe(dump(100, 1), 10_000)


def test_only_names_that_are_listed_are_made_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def counted(text: str, limit: int = 1000) -> str:
        shown.append(text)
        return text

    monkeypatch.setattr(summary, "visible", counted)
    value = StatisticsValue((1,), "float32", of_array(np.full(1, np.nan, np.float32)))
    records = tuple(Record(index, f"x{index}", (1,), "float32", depth=0) for index in range(500))
    lines = describe(Trace(RunInfo(), (), records, (value,) * 500, {}), 1)
    assert line(lines, "NaN, Inf") == "NaN, Inf   in 500 of 500 records"
    assert len(shown) < 100
