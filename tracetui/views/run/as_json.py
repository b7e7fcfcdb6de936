"""What a run gave as a JSON document, for programs that read `tracetui trace --json`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from tracetui.analysis.health.diagnosis import NearLimit, bad_weights, near_limits, producers
from tracetui.analysis.memory import MemoryPlan
from tracetui.analysis.prediction import Prediction, next_tokens
from tracetui.expr.edit import EditTally
from tracetui.expr.watcher import Hit, Tally
from tracetui.recording.npz.encode import bad_weight, nullable, plain_statistics
from tracetui.recording.npz.places import place_form
from tracetui.recording.record import Record, Token
from tracetui.recording.spill import whereabouts
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError
from tracetui.views.health.causes import cause_line

PREDICTIONS = 5


def run_document(
    trace: Trace,
    plan: MemoryPlan | None,
    file: str | None,
    size: int | None,
    hits: Sequence[Hit] = (),
    tallies: Sequence[Tally] = (),
    edits: Sequence[EditTally] = (),
) -> dict[str, object]:
    """A float that JSON has no number for is a text, as in a trace file's header."""
    return {
        "model": trace.run.model,
        "file": file,
        "bytes": size,
        "memory": None if plan is None else memory_document(plan),
        "notes": list(trace.run.notes),
        "cache": list(trace.cache),
        "stops": [_stop(trace, tally, hits) for tally in tallies],
        "edits": [{"edit": each.edit.text, "changed": each.applied, "untold": each.untold} for each in edits],
        "made_nan": _producers(trace, hits),
        "near_limit": [_near(near) for near in near_limits(trace)],
        "rows": list(_rows(trace)),
        "records": [_record(trace, record) for record in trace.records],
    }


def memory_document(plan: MemoryPlan) -> dict[str, object]:
    """A plan in bytes."""
    return {**asdict(plan), "at_work": plan.at_work, "peak": plan.peak}


def _stop(trace: Trace, tally: Tally, hits: Sequence[Hit]) -> dict[str, object]:
    fired = [hit for hit in hits if hit.stop.text == tally.stop.text]
    return {
        "stop": tally.stop.text,
        "looked_at": tally.matched,
        "untold": tally.untold,
        "hits": [hit_document(trace, hit) for hit in fired],
    }


def hit_document(trace: Trace, hit: Hit) -> dict[str, object]:
    """Where a stop held, and the values that made it."""
    values = {name: nullable(value) for name, value in hit.told}
    return {"key": trace.records[hit.index].key, "step": hit.index, "values": values}


def _producers(trace: Trace, hits: Sequence[Hit]) -> list[dict[str, object]]:
    """The records to which the first tensor that a stop found not to be finite goes back."""
    bad = next((trace.records[hit.index] for hit in hits if hit.stop.watches_health), None)
    makers = () if bad is None else producers(trace, bad)
    return [
        {
            "key": one.record.key,
            "fed_by": [fed.key for fed in one.fed_by],
            "by_name": one.by_name,
            "weights": [bad_weight(weight) for weight in bad_weights(trace, one.record)],
            "cause": None if one.cause is None else cause_line(one.cause),
        }
        for one in makers
    ]


def _near(near: NearLimit) -> dict[str, object]:
    return {"key": near.record.key, "absmax": near.absmax, "share": near.share}


def _rows(trace: Trace) -> Iterator[dict[str, object]]:
    for row, tokens in enumerate(trace.tokens):
        yield {
            **row_document(tokens),
            "predictions": _predictions(trace, row),
            "generated": trace.generated[row] if trace.generated else 0,
        }


def row_document(tokens: Sequence[Token]) -> dict[str, object]:
    """A row's ids and its text."""
    text = b"".join(token.bytes for token in tokens).decode(errors="replace")
    return {"ids": [token.id for token in tokens], "text": text}


def token_document(token: Token) -> dict[str, object]:
    return {"id": token.id, "text": token.bytes.decode(errors="replace")}


def _predictions(trace: Trace, row: int) -> list[dict[str, object]] | None:
    """The likeliest next tokens; None where the logits were not kept."""
    try:
        return [_prediction(prediction) for prediction in next_tokens(trace, PREDICTIONS, row)]
    except NotKeptError:
        return None


def _prediction(prediction: Prediction) -> dict[str, object]:
    return {
        **token_document(prediction.token),
        "probability": nullable(prediction.probability),
        "logit": nullable(prediction.logit),
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
        "edited": record.edited,
        **({} if record.place.is_whole else {"place": place_form(record.place)}),
        "seconds": nullable(record.seconds),
        "values": whereabouts(value) or "kept",
        "statistics": plain_statistics(value.statistics()),
    }
