"""What a mixture-of-experts block adds up: its experts' weighted outputs, its shared expert, and whether they match."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.experts.choice import expert_record, row_norm
from tracetui.analysis.experts.routing import BlockRouting, Floats, Ints, Missing, sibling
from tracetui.analysis.identity import Identity, judged, largest_difference
from tracetui.recording.outline import NO_MODULE, with_depth
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, NotKeptError

_SHARED = ("shared_experts", "shared_expert", "shared_mlp")
_GATE = "shared_expert_gate"
_ADDED = (*_SHARED, "experts", _GATE)
"""Modules of a block after whose outputs nothing is left but to add up."""
_SCALE = "scal"
"""In the names of all configurations' factors: `routed_scaling_factor`, `moe_routed_scaling_factor`, `route_scale`."""
_BLOCK = 1 << 21
"""Elements of a column block that are added up at one time."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the shared expert gave one token."""

    norm: float
    """L2 of its part, after its gate."""
    share: float | None
    """That norm against the norm of the block's own output; None before there is one."""
    gate: float | None
    """In [0, 1]; None where the block has no gate for it."""


@dataclass(frozen=True, eq=False, slots=True)
class _Sum:
    """Records that add up to a block's output."""

    output: Record
    hits: tuple[tuple[Record, Ints, Floats], ...]
    """Each hit expert's output, its tokens [n] and their weights [n]."""
    shared: Record | None
    gate: Floats | None
    """[N]"""
    scale: float = 1.0
    """What the sum of the experts is multiplied by before the shared part is added."""
    shared_scale: float = 1.0
    """What the shared part is multiplied by, after its gate."""


def has_shared(trace: Trace, routing: BlockRouting) -> bool:
    """Whether the block has a shared expert, by its records or by the configuration."""
    named = any(trace.run.config.get(name) for name in ("n_shared_experts", "shared_expert_intermediate_size"))
    return named or shared_record(trace, routing) is not None


def shared_record(trace: Trace, routing: BlockRouting) -> Record | None:
    """The shared expert's own output."""
    names = (f"{routing.site}.{name}" for name in _SHARED)
    record = next((output for name in names if (output := sibling(trace, routing.record, name))), None)
    return record if record and _is_whole(trace, routing, record) else None


def output_record(trace: Trace, routing: BlockRouting) -> Record | None:
    """The block's own output."""
    record = sibling(trace, routing.record, routing.site)
    return record if record and _is_whole(trace, routing, record) else None


def _is_whole(trace: Trace, routing: BlockRouting, record: Record) -> bool:
    """Whether a record's values are there, a row for each of N tokens."""
    return record.index < len(trace.values) and math.prod(record.shape[:-1]) == routing.record.shape[0]


def shared_parts(trace: Trace, routing: BlockRouting, tokens: Sequence[int]) -> list[Shared] | Missing:
    """What the shared expert gave each of some of the routing's tokens."""
    record = shared_record(trace, routing)
    if record is None:
        return Missing("not recorded yet")
    output = output_record(trace, routing)
    if _lacks_gate(trace, routing) or (_may_lack_gate(trace, routing) and not _adds_up(trace, routing)):
        return Missing("gate not recorded yet")
    try:
        gate = _gate(trace, routing)
        return [_shared(trace, record, output, gate, int(routing.rows[token])) for token in tokens]
    except NotKeptError:
        return Missing("only statistics were kept")


def _shared(trace: Trace, record: Record, output: Record | None, gate: Floats | None, row: int) -> Shared:
    opened = None if gate is None else float(gate[row])
    norm = row_norm(trace, record, row) * (1.0 if opened is None else opened)
    if output is None:
        return Shared(norm, None, opened)
    whole = row_norm(trace, output, row)
    return Shared(norm, norm / whole if whole else None, opened)


def _lacks_gate(trace: Trace, routing: BlockRouting) -> bool:
    """Whether the model has a gate for its shared expert, and that has no record."""
    gate = f".{_GATE}"
    has = any(module.path.endswith(gate) for _, module in with_depth(trace.outline))
    return has and sibling(trace, routing.record, f"{routing.site}{gate}") is None


def _may_lack_gate(trace: Trace, routing: BlockRouting) -> bool:
    """Whether a gate may be missing of a model whose modules aren't known: some families name its shared expert so."""
    gated = bool(trace.run.config.get("shared_expert_intermediate_size"))
    recorded = sibling(trace, routing.record, f"{routing.site}.{_GATE}") is not None
    return gated and not recorded and trace.outline is NO_MODULE


def _adds_up(trace: Trace, routing: BlockRouting) -> bool:
    identity = sum_identity(trace, routing)
    return isinstance(identity, Identity) and identity.holds


def _gate(trace: Trace, routing: BlockRouting) -> Floats | None:
    """The shared expert's gate values [N]: the sigmoid of what its module returned."""
    record = sibling(trace, routing.record, f"{routing.site}.{_GATE}")
    if record is None:
        return None
    logits = trace.value(record).read().astype(np.float64).reshape(-1)  # [N]
    gate: Floats = 1 / (1 + np.exp(-logits))
    return gate


def sum_identity(trace: Trace, routing: BlockRouting) -> Identity | Missing:
    """The weighted sum of expert outputs plus the shared part against the block's own output, over all N tokens.

    Some families multiply by a factor of the configuration only after the sum, or take the mean of both parts.
    """
    try:
        parts = _parts(trace, routing)
        if isinstance(parts, Missing):
            return parts
        identity = _compared(trace, parts)
        ways = () if identity.holds else _other_sums(trace, parts)
        others = (other for way in ways if (other := _compared(trace, way)).holds)
        identity = next(others, identity)
        if not identity.holds and parts.shared is not None and _may_lack_gate(trace, routing):
            return Missing("the shared expert's gate is not recorded")
        return identity
    except NotKeptError:
        return Missing("only statistics of some of its terms were kept")


def _other_sums(trace: Trace, parts: _Sum) -> Iterator[_Sum]:
    """The experts times each factor that the configuration has for it; the mean with the shared part."""
    for name, factor in trace.run.config.items():
        if _SCALE in name and isinstance(factor, int | float) and not isinstance(factor, bool) and factor != 1:
            yield replace(parts, scale=float(factor))
    if parts.shared is not None:
        yield replace(parts, scale=0.5, shared_scale=0.5)


def _parts(trace: Trace, routing: BlockRouting) -> _Sum | Missing:
    output = output_record(trace, routing)
    if output is None:
        return Missing("the output is not recorded yet")
    if not any(expert_record(trace, routing, expert) for expert in np.unique(routing.experts).tolist()):
        return Missing("what each expert returned is not recorded")
    if further := _further(trace, routing, output):
        return Missing(f"{further} changes what was added up")
    weighted = sibling(trace, routing.record, f"{routing.site}:routing_weights")
    if weighted is None:
        return Missing("the routing weights are not recorded")
    shared = shared_record(trace, routing)
    if shared is None and has_shared(trace, routing):
        return Missing("the shared expert's output is not recorded")
    if shared is not None and _lacks_gate(trace, routing):
        return Missing("the shared expert's gate is not recorded")
    experts = trace.value(routing.record).read().astype(np.int64)  # [N,A]
    weights = trace.value(weighted).read()  # [N,A]
    if weights.shape != experts.shape:
        return Missing(f"the routing weights have the shape {list(weights.shape)}")
    hits = _hits(trace, routing, experts, weights, output.shape[-1])
    if isinstance(hits, Missing):
        return hits
    if shared is not None and shared.shape[-1:] != output.shape[-1:]:
        return Missing(f"the shared expert's output has the shape {list(shared.shape)}")
    return _Sum(output, hits, shared, _gate(trace, routing))


def _further(trace: Trace, routing: BlockRouting, output: Record) -> str:
    """The name of a module of the block that ran after the choice and is no part of the sum; empty if there is none."""
    later = trace.records[routing.record.index : output.index]
    own = [record for record in later if record.parent == routing.site and not record.role]
    added = [record for record in own if _name(record) in _ADDED]
    others = (record for record in own if _name(record) not in _ADDED)
    return next((_name(record) for record in others if not any(_alike(trace, record, one) for one in added)), "")


def _name(record: Record) -> str:
    return record.module.rpartition(".")[2]


def _alike(trace: Trace, one: Record, other: Record) -> bool:
    """Whether a module returned what another had returned: it changes nothing."""
    if one.numel != other.numel or one.shape[-1:] != other.shape[-1:]:
        return False
    values = trace.value(one), trace.value(other)
    return values[0] is values[1] or bool(np.array_equal(values[0].read().ravel(), values[1].read().ravel()))


def _hits(
    trace: Trace, routing: BlockRouting, experts: Ints, weights: Array, width: int
) -> tuple[tuple[Record, Ints, Floats], ...] | Missing:
    """Output, tokens and weights of every expert that was chosen."""
    hits = []
    for expert in np.unique(experts).tolist():
        output, listed = (expert_record(trace, routing, expert, role) for role in ("", "tokens"))
        if output is None and not weights[experts == expert].any():
            # A class that is no expert: what chose it skips all of them.
            continue
        if output is None or listed is None:
            return Missing(f"expert {expert}'s output is not recorded")
        tokens = trace.value(listed).read().astype(np.int64)  # [n]
        if output.shape != (len(tokens), width) or not _are_rows(tokens, len(experts)):
            return Missing(f"expert {expert}'s records don't fit the block's")
        expert_weights = np.where(experts[tokens] == expert, weights[tokens], 0).sum(axis=1, dtype=np.float64)  # [n]
        expert_weights /= np.bincount(tokens, minlength=1)[tokens]
        hits.append((output, tokens, expert_weights))
    return tuple(hits)


def _are_rows(tokens: Ints, count: int) -> bool:
    """Whether tokens [n] are places among `count`; one that chose an expert in two of its slots is there twice."""
    return tokens.ndim == 1 and bool(((tokens >= 0) & (tokens < count)).all())


def _compared(trace: Trace, parts: _Sum) -> Identity:
    differences, scales = [0.0], [0.0]
    for columns in _columns(parts.output.shape):
        total, size = _added(trace, parts, columns)  # [N,d] [N,d]
        differences.append(largest_difference(total, _read(trace, parts.output, columns)))
        scales.append(float(size.max(initial=0.0)))
    return judged(float(np.max(differences)), parts.output.dtype, float(np.max(scales)))


def _added(trace: Trace, parts: _Sum, columns: slice) -> tuple[Floats, Floats]:
    """Some columns of the sum, and the sum of its terms' sizes: [N,d] each."""
    total = np.zeros((math.prod(parts.output.shape[:-1]), columns.stop - columns.start))  # [N,d]
    size = np.zeros_like(total)  # [N,d]
    for record, tokens, expert_weights in parts.hits:
        term = _read(trace, record, columns) * (parts.scale * expert_weights[:, None])  # [n,d]
        np.add.at(total, tokens, term)
        np.add.at(size, tokens, np.abs(term))
    if parts.shared is not None:
        share = _read(trace, parts.shared, columns)  # [N,d]
        share = parts.shared_scale * (share if parts.gate is None else share * parts.gate[:, None])
        total += share
        size += np.abs(share)
    return total, size


def _columns(shape: tuple[int, ...]) -> Iterator[slice]:
    """Ranges of the last axis that keep a block [N,d] small."""
    width = shape[-1]
    step = max(1, _BLOCK // max(1, math.prod(shape[:-1])))
    yield from (slice(start, min(start + step, width)) for start in range(0, width, step))


def _read(trace: Trace, record: Record, columns: slice) -> Floats:
    """Some columns of a record [.., D] as [N,d]."""
    index = (*(slice(None),) * (len(record.shape) - 1), columns)
    values = trace.value(record).read(index).astype(np.float64)
    return values.reshape(-1, values.shape[-1])
