"""Attention calls that must run step by step, as a stop or an edit names their scores or probabilities."""

from __future__ import annotations

from collections.abc import Iterable

from tracetui.analysis.attention.kinds import KINDS
from tracetui.expr.edit import Edit
from tracetui.expr.stop import Stop
from tracetui.recording.sites import SitePattern

ABSORBED_SCORES = "absorbed_scores"


def names_matrices(pattern: SitePattern) -> bool:
    """Whether a pattern says `:scores`, `:masked` or `:probs`; one that only fits them, as `*` does, asks for none."""
    return pattern.text.rpartition(":")[2] in KINDS and ":" in pattern.text


def needs_steps(path: str, stops: Iterable[Stop], edits: Iterable[Edit]) -> bool:
    """Whether the attention module at a path has to show its scores, for edits that hold now."""
    return any(stop.on and _stops_at_matrices(path, stop) for stop in stops) or any(
        edits_matrices(path, edit) for edit in edits
    )


def _stops_at_matrices(path: str, stop: Stop) -> bool:
    return names_matrices(stop.pattern) and any(stop.pattern.matches(f"{path}:{role}") for role in KINDS)


def edits_matrices(path: str, edit: Edit) -> bool:
    """Whether an edit speaks of the scores or probabilities of the attention module at a path."""
    return names_matrices(edit.pattern) and any(edit.is_for(f"{path}:{role}") for role in KINDS)


def needs_absorbed(path: str, stops: Iterable[Stop]) -> bool:
    """Whether a stop speaks of the scores that the attention module at a path would have from its latent."""
    role = f":{ABSORBED_SCORES}"
    return any(stop.on and stop.pattern.text.endswith(role) and stop.pattern.matches(f"{path}{role}") for stop in stops)


def any_steps(stops: Iterable[Stop], edits: Iterable[Edit]) -> bool:
    """Whether some layer may have to."""
    expressions: list[Stop | Edit] = [*stops, *edits]
    return any(one.on and names_matrices(one.pattern) for one in expressions)
