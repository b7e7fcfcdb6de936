"""The header of a trace file as canonical JSON: the same trace gives the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from tracetui.formats.limits import MAX_DEPTH
from tracetui.recording.npz.places import numbered_places, parallel_form, piece_forms, place_form, unlike_forms
from tracetui.recording.npz.weights import weight_forms
from tracetui.recording.outline import NO_MODULE, Module, with_depth
from tracetui.recording.parallel import Place
from tracetui.recording.record import AttentionCall, BadWeight, Record, Token
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import RunInfo, Trace

FORMAT = 1
NEEDS = "0.1"
"""The first version of tracetui that reads this format."""

FLOAT_TAG = "__float__"
"""transformers writes a float in a config that JSON has no number for as `{"__float__": "Infinity"}`."""

_LATER = ("sinks", "position_bias", "unexplained")


def encode_header(trace: Trace, statistics: Sequence[Statistics], keys: Sequence[str | None]) -> bytes:
    """All of a trace but its values and times; `statistics` and `keys` run parallel to its records."""
    places = numbered_places(trace)
    return canonical(
        {
            "format": FORMAT,
            "needs": NEEDS,
            "complete": trace.complete,
            "run": _run(trace.run),
            "tokens": [_row(row) for row in trace.tokens],
            **({"generated": list(trace.generated), "cache": list(trace.cache)} if trace.generated else {}),
            "vocabulary": _row([replace(trace.vocabulary[known], id=known) for known in sorted(trace.vocabulary)]),
            "attention": {key: _attention(call) for key, call in trace.attention.items()},
            **({"bad_weights": _bad_weights(trace)} if trace.bad_weights else {}),
            **({"weights": weight_forms(trace.weights)} if trace.weights else {}),
            **({"dump": True} if trace.dump else {}),
            **({"pieces": piece_forms(trace.pieces, places)} if trace.pieces else {}),
            **({"unlike_replicas": unlike_forms(trace.unlike_replicas)} if len(trace.unlike_replicas) else {}),
            **({"places": [place_form(place) for place in places]} if places else {}),
            "outline": [_module(*each) for each in with_depth(trace.outline)] if trace.outline is not NO_MODULE else [],
            "records": [_record(*each, places) for each in zip(trace.records, statistics, keys, strict=True)],
        }
    )


def encode_timing(trace: Trace) -> bytes:
    """When the run began and the seconds of each record, apart from the header because they differ from run to run."""
    return canonical({"started": trace.run.started, "seconds": [nullable(record.seconds) for record in trace.records]})


def canonical(document: object) -> bytes:
    """JSON on one line: sorted keys, no blanks, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _run(run: RunInfo) -> dict[str, object]:
    return {
        "model": run.model,
        "recipe": _plain(run.recipe),
        "config": _plain(run.config),
        "tokenizer": run.tokenizer,
        "versions": dict(run.versions),
        "notes": list(run.notes),
        **({"as_built": _plain(run.as_built)} if run.as_built else {}),
        **({"parallel": parallel_form(run.parallel)} if run.parallel is not None else {}),
    }


def _row(tokens: Sequence[Token]) -> dict[str, object]:
    return {
        "ids": [token.id for token in tokens],
        "bytes": [token.bytes.decode("latin-1") for token in tokens],
        "special": [place for place, token in enumerate(tokens) if token.special],
    }


def _attention(call: AttentionCall) -> dict[str, object]:
    """What was given; fields that came later than the first version are left out where they are empty."""
    plain = {**asdict(call), "scale": _number(call.scale), "softcap": nullable(call.softcap)}
    return {name: value for name, value in plain.items() if value or name not in _LATER}


def _bad_weights(trace: Trace) -> dict[str, object]:
    return {site: [bad_weight(weight) for weight in weights] for site, weights in trace.bad_weights.items()}


def bad_weight(found: BadWeight) -> dict[str, object]:
    """A parameter that isn't finite, as JSON data."""
    return {"name": found.name, "count": found.count, "numel": found.numel, "first": list(found.first)}


def _record(record: Record, statistics: Statistics, key: str | None, places: Mapping[Place, int]) -> dict[str, object]:
    return {
        "site": record.site,
        "pass": record.pass_,
        "call": record.call,
        "part": record.part,
        "depth": record.depth,
        "parent": record.parent,
        "shape": list(record.shape),
        "dtype": record.dtype,
        "provenance": record.provenance,
        **({"edited": True} if record.edited else {}),
        **({"inputs": list(record.inputs)} if record.inputs else {}),
        **({"place": places[record.place]} if record.place in places else {}),
        "statistics": plain_statistics(statistics),
        "key": key,
    }


def _module(depth: int, module: Module) -> dict[str, object]:
    """What a module has; fields that would be empty are left out."""
    found: dict[str, object] = {
        "depth": depth,
        "path": module.path,
        "kind": module.kind,
        "parameters": module.parameters,
    }
    if module.weights:
        found["weights"] = [[name, list(shape)] for name, shape in module.weights]
    if module.skipped:
        found["skipped"] = True
    if module.indices:
        found["indices"] = list(module.indices)
    if module.active is not None:
        found["active"] = module.active
    if module.elsewhere:
        found["elsewhere"] = dict(module.elsewhere)
    return found


def plain_statistics(found: Statistics) -> dict[str, object]:
    """Statistics as JSON data; null for what no finite element tells."""
    numbers = {name: getattr(found, name) for name in ("l2", "mean", "std", "min", "max")}
    return {
        "numel": int(found.numel),
        **{
            name: None if math.isnan(value) and not found.finite_count else _number(value)
            for name, value in numbers.items()
        },
        "nan": int(found.nan),
        "posinf": int(found.posinf),
        "neginf": int(found.neginf),
        "zeros": int(found.zeros),
    }


def _number(value: float) -> float | str:
    return float(value) if math.isfinite(value) else float_name(value)


def nullable(value: float | None) -> float | str | None:
    """A float as JSON data, by its name if JSON has no number for it."""
    return None if value is None else _number(value)


def float_name(value: float) -> str:
    """The word for a float that JSON has no number for."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _plain(found: object, depth: int = 0) -> object:
    """Recipe and config as JSON data; what JSON has no form for, or is nested too deep, becomes its text."""
    if isinstance(found, Mapping) and depth < MAX_DEPTH:
        return {str(name): _plain(value, depth + 1) for name, value in found.items()}
    if isinstance(found, list | tuple) and depth < MAX_DEPTH:
        return [_plain(value, depth + 1) for value in found]
    if isinstance(found, float) and not math.isfinite(found):
        return {FLOAT_TAG: float_name(found)}
    return found if found is None or isinstance(found, bool | int | float | str) else str(found)
