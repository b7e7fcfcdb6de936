"""What a run gave as one JSON document, for programs that read `tracetui trace --json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from tracetui.analysis.memory import MemoryPlan
from tracetui.analysis.prediction import Prediction, next_tokens
from tracetui.expr.watcher import Hit
from tracetui.trace.npz.encode import canonical, nullable, plain_statistics
from tracetui.trace.record import Record
from tracetui.trace.spill import whereabouts
from tracetui.trace.trace import Trace
from tracetui.trace.value import NotKeptError

PREDICTIONS = 5


def run_json(
    trace: Trace, plan: MemoryPlan | None, file: str | None, size: int | None, hits: Sequence[Hit] = ()
) -> str:
    """One line; a float that JSON has no number for is a text, as in a trace file's header."""
    document = {
        "model": trace.run.model,
        "file": file,
        "bytes": size,
        "memory": None if plan is None else {**asdict(plan), "peak": plan.peak},
        "notes": list(trace.run.notes),
        "cache": list(trace.cache),
        "stops": [_hit(trace, hit) for hit in hits],
        "rows": list(_rows(trace)),
        "records": [_record(trace, record) for record in trace.records],
    }
    return canonical(document).decode("ascii")


def _hit(trace: Trace, hit: Hit) -> dict[str, object]:
    return {"stop": hit.stop.text, "key": trace.records[hit.index].key, "step": hit.index, "values": dict(hit.told)}


def _rows(trace: Trace) -> Iterator[dict[str, object]]:
    for row, tokens in enumerate(trace.tokens):
        yield {
            "ids": [token.id for token in tokens],
            "text": b"".join(token.bytes for token in tokens).decode(errors="replace"),
            "predictions": _predictions(trace, row),
            "generated": trace.generated[row] if trace.generated else 0,
        }


def _predictions(trace: Trace, row: int) -> list[dict[str, object]] | None:
    """The likeliest next tokens; None where the logits were not kept."""
    try:
        return [_prediction(found) for found in next_tokens(trace, PREDICTIONS, row)]
    except NotKeptError:
        return None


def _prediction(found: Prediction) -> dict[str, object]:
    return {
        "id": found.token.id,
        "text": found.token.bytes.decode(errors="replace"),
        "probability": nullable(found.probability),
        "logit": nullable(found.logit),
    }


def _record(trace: Trace, record: Record) -> dict[str, object]:
    value = trace.value(record)
    return {
        "site": record.site,
        "key": record.key,
        "pass": record.pass_,
        "shape": list(record.shape),
        "dtype": record.dtype,
        "provenance": record.provenance,
        "seconds": nullable(record.seconds),
        "values": whereabouts(value) or "kept",
        "statistics": plain_statistics(value.statistics()),
    }
