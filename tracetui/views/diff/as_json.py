"""A comparison of two traces for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict

from tracetui.analysis.diff.effects import NextTokens, edits_of_sides, residual_effects
from tracetui.analysis.diff.preface import MISSING, Preface
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.rounding.noise import NoiseReport
from tracetui.analysis.diff.routing.flips import Flip
from tracetui.analysis.diff.weights import WeightDifferences
from tracetui.recording.npz.encode import float_name
from tracetui.recording.record import Token
from tracetui.views.diff.effects import by_edit
from tracetui.views.diff.report import verdict
from tracetui.views.diff.token_places import config_of, position_at


def diff_json(report: Report, noise: NoiseReport | None = None) -> Iterator[str]:
    """One document. A float that JSON has no number for is the text `NaN`, `Infinity` or `-Infinity`."""
    comparison = report.comparison
    found = {
        "same": comparison.same,
        "verdict": verdict(report),
        "compared": comparison.compared,
        "first": None if report.first is None else report.first.site,
        "inputs": [] if report.feeds is None else [fed.site for fed in report.feeds.found],
        "between": [] if report.feeds is None else list(report.feeds.between),
        "given": None if report.feeds is None or report.feeds.given is None else asdict(report.feeds.given),
        "inputs_agree": report.feeds is not None and report.feeds.agree,
        "at_fault": report.at_fault,
        "changed_by_edit": by_edit(report.finding.edit if report.finding else None),
        "rounded_inputs": _rounded(report),
        "hints": [asdict(hint) for hint in report.hints],
        **_before(comparison.preface),
        "weights": _weights(comparison.weights),
        "only_in_a": [named.record.key for named in comparison.alignment.only_a],
        "only_in_b": [named.record.key for named in comparison.alignment.only_b],
        "not_run_in_a": [named.record.key for named in comparison.alignment.ahead_b],
        "not_run_in_b": [named.record.key for named in comparison.alignment.ahead_a],
        "sites": [_site(comparison, site) for site in comparison.sites],
        "routing": [_flip(flip) for flip in report.flips],
        "next_tokens": [_predicted(found) for found in report.predicted],
        "residual": [
            {"layer": layer, "site": site.site, **_apart(site)} for layer, site in residual_effects(comparison.sites)
        ],
        "edits": dict(zip(("a", "b"), edits_of_sides(comparison.a, comparison.b), strict=True)),
        "proposals": [asdict(proposal) for proposal in report.proposals],
        "fuzzy": report.fuzzy,
        "map": list(report.unfit),
        "numbers": {side: asdict(kept) for side, kept in zip("ab", report.narrow, strict=True) if kept is not None},
        "wrong_pairs": [
            {"a": found.site.pair.a.record.key, "b": found.site.pair.b.record.key, "agrees": found.agrees}
            for found in report.wrong_pairs
        ],
        **({} if noise is None else {"noise": _noise(noise)}),
    }
    yield json.dumps(_plain(found), indent=1, allow_nan=False)


def _rounded(report: Report) -> dict[str, object] | None:
    """Of a first divergence that llama.cpp's rounding made; null for any other."""
    rounded, further = None if report.finding is None else report.finding.rounded, report.beyond
    if rounded is None:
        return None
    return {
        "side": rounded.side.lower(),
        "weights": rounded.rounding.weights,
        "inputs": rounded.rounding.words,
        "relative": rounded.apart,
        "expected": rounded.expected,
        "beyond": None if further is None else further.site.site,
        "beyond_at_fault": further is not None and further.at_fault,
        "beyond_hints": [] if further is None else [asdict(hint) for hint in further.hints],
        "judged_until": report.judged_until or None,
    }


def _weights(weights: WeightDifferences) -> dict[str, object]:
    return {
        "compared": weights.compared,
        "quantised": weights.quantised,
        "different": [
            {"name": pair.name, "relative": pair.relative, "a": pair.a.provenance, "b": pair.b.provenance}
            for pair in weights.pairs
        ],
    }


def _predicted(found: NextTokens) -> dict[str, object]:
    return {
        "row": found.row,
        "position": found.position,
        "after": _token(found.after),
        "moved": found.moved,
        "tokens": [{**(_token(each.token) or {}), "a": each.a, "b": each.b} for each in found.candidates],
    }


def _noise(noise: NoiseReport) -> dict[str, object]:
    return {
        "rerun": noise.side,
        "not_measured_in_later_passes": noise.later,
        "suspects": [found.site.site for found in noise.suspects],
        "sites": [
            {
                "site": found.site.site,
                "rounding": found.rounding,
                "times": found.times,
                "inputs_times": found.fed,
                "verdict": found.verdict.name.lower(),
            }
            for found in noise.sites
        ],
    }


def _before(preface: Preface) -> dict[str, object]:
    return {
        "tokens": [
            {"prompt": found.row, "position": found.position, "a": _token(found.a), "b": _token(found.b)}
            for found in preface.tokens
        ],
        "config": {
            field.name: {side: value for side, value in (("a", field.a), ("b", field.b)) if value is not MISSING}
            for field in preface.config
        },
        "dtypes": [{"a": a, "b": b, "sites": times} for a, b, times in preface.dtypes],
    }


def _token(token: Token | None) -> dict[str, object] | None:
    return None if token is None else {"id": token.id, "bytes": token.bytes.decode("latin-1")}


def _site(comparison: Comparison, site: SiteDiff) -> dict[str, object]:
    a, b = site.pair.a.record, site.pair.b.record
    found: dict[str, object] = {
        "site": site.site,
        "outcome": site.outcome.value,
        "a": {"key": a.key, "shape": list(a.shape), "dtype": a.dtype},
        "b": {"key": b.key, "shape": list(b.shape), "dtype": b.dtype},
        "layout": site.laid_out,
        **({"why": site.why} if site.why else {}),
    }
    if site.tolerance is not None:
        found["tolerance"] = asdict(site.tolerance)
    if site.distance is not None:
        found["distance"] = asdict(site.distance)
        worst = site.distance.worst
        found["worst_token"] = position_at(comparison, site, config_of(comparison), worst) if worst else None
    return found


def _apart(site: SiteDiff) -> dict[str, object]:
    """How far a residual is apart over the whole tensor, and in its worst row."""
    if site.distance is None:
        return {"relative": None, "worst_row": None}
    return {"relative": site.distance.relative, "worst_row": site.distance.row and asdict(site.distance.row)}


def _flip(flip: Flip) -> dict[str, object]:
    return {**asdict(flip), "cause": flip.cause.name.lower()}


def _plain(found: object) -> object:
    """With names for floats that are no numbers in JSON, and texts for what a config may hold besides."""
    if isinstance(found, float) and not math.isfinite(found):
        return float_name(found)
    if isinstance(found, dict):
        return {str(name): _plain(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    return found if isinstance(found, str | int | float | bool) or found is None else str(found)
