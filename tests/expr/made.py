"""Traces written by hand, of two layers whose second is three times the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracetui.expr.evaluate import Answer, evaluate
from tracetui.expr.moment import TraceScope
from tracetui.expr.parse import parse
from tracetui.recording.record import AttentionCall, Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue, StatisticsValue, Value

FIRST = np.arange(-3, 9, dtype=np.float32).reshape(1, 3, 4)  # [B,T,D]
SELECTION = np.array([[0.9, 0.5, 0.4, -np.inf], [0.1, 0.8, 0.75, 0.7], [0.6, 0.1, 0.2, 0.55]], np.float32)  # [N,E]
EXPERTS = np.array([[0, 1], [1, 2], [0, 3]])  # [N,A]


def made(*named: tuple[str, Array], kept: bool = True, tokens: Sequence[int] = (3,)) -> Trace:
    """A trace of these records, each inside the module before its last dot or colon."""
    records, values = list[Record](), list[Value]()
    for site, array in named:
        parent = site.rpartition(":")[0] if ":" in site else site.rpartition(".")[0]
        records.append(Record(len(records), site, array.shape, str(array.dtype), site.count("."), parent))
        value = ArrayValue(array)
        values.append(value if kept else StatisticsValue(array.shape, str(array.dtype), value.statistics()))
    rows = tuple(tuple(Token(at, f"t{at}".encode()) for at in range(length)) for length in tokens)
    calls = {
        record.key: AttentionCall(0.5, True, "sdpa", heads=2, kv_heads=1) for record in records if record.role == "q"
    }
    return Trace(RunInfo(), rows, records, values, calls)


def layers() -> Trace:
    """Two layers with an attention and, in the second, a block of experts."""
    q = np.ones((1, 2, 3, 4), np.float32)  # [B,H,T,K]: all alike, so that every query attends evenly
    return made(
        ("model.embed_tokens", FIRST),
        ("model.layers.0.self_attn:q", q),
        ("model.layers.0.self_attn:k", q[:, :1]),
        ("model.layers.0.self_attn", FIRST),
        ("model.layers.0", FIRST),
        ("model.layers.1.mlp.gate", SELECTION),
        ("model.layers.1.mlp:selection_scores", SELECTION),
        ("model.layers.1.mlp:experts", EXPERTS),
        ("model.layers.1.mlp", FIRST),
        ("model.layers.1", 3 * FIRST),
    )


def ask(text: str, site: str, trace: Trace | None = None, *, parts: bool = False) -> Answer:
    """An expression at a record of the made layers."""
    trace = trace or layers()
    record = trace.find(site)
    assert record is not None
    return evaluate(parse(text, parts=parts), TraceScope(trace).moment(record))
