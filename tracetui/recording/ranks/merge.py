"""One trace of the whole model from those of its ranks. Nothing is read of values before they are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import prod
from types import MappingProxyType
from typing import Protocol

from tracetui.recording.parallel import MIXED_TOKENS, WHOLE, Parallel, RankPiece, UnlikeReplicas
from tracetui.recording.ranks.assemble import MisfitError, ReplicaChoice, UnknowableError, Whole, assembled
from tracetui.recording.ranks.gather import Gathered, SiteParts
from tracetui.recording.ranks.order import merged_order
from tracetui.recording.ranks.stages import stages_of
from tracetui.recording.record import UNRECORDED, AttentionCall, BadWeight, Record, Token
from tracetui.recording.trace import Trace
from tracetui.recording.value import Value
from tracetui.recording.weight_prints import WeightPrint
from tracetui.text import visible

_INSIDE_EXPERT = re.compile(r"\.experts\.\d+(?![^.:@#])")


class Replicas(ReplicaChoice, Protocol):
    """Picks replicas' values, and knows which differ."""

    @property
    def unlike(self) -> Mapping[str, UnlikeReplicas]: ...


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why something that the ranks have doesn't add up; `key` is a record's, or empty for the run as a whole."""

    key: str
    problem: str

    def __str__(self) -> str:
        return f"{visible(self.key)}: {self.problem}" if self.key else self.problem


@dataclass(frozen=True, eq=False, slots=True)
class Merged:
    """The trace of all ranks together, and what is not in it."""

    trace: Trace
    misfits: tuple[Mismatch, ...]
    """Records whose parts don't make a whole; the trace is without them."""
    unknowable: tuple[str, ...]
    """Keys of partial sums of which no values were kept: nothing can be said of their sum."""


def merged_trace(gathered: Gathered, replicas: Replicas) -> Merged:
    """The records in one order that every rank's own agrees with, each whole."""
    problems = list(_run_misfits(gathered))
    wholes: dict[str, Whole] = {}
    unknowable: list[str] = []
    stages, is_mixed = stages_of(gathered), _is_mixed(gathered)
    for key in merged_order([keys for keys, _ in sorted(gathered.sequences.items(), key=lambda each: each[1])]):
        if is_mixed and _INSIDE_EXPERT.search(key):
            continue
        parts = stages.last_of(gathered.parts[key])
        try:
            wholes[key] = assembled(parts, gathered.ranks, replicas)
        except MisfitError as error:
            problems.append(Mismatch(key, str(error)))
        except UnknowableError:
            unknowable.append(key)
    if problems and not any(not misfit.key for misfit in problems):
        problems[:0] = _missing(gathered)
    records, values = _records(wholes, gathered)
    return Merged(_trace(gathered, records, values, wholes, replicas, unknowable), tuple(problems), tuple(unknowable))


def _is_mixed(gathered: Gathered) -> bool:
    """Whether experts ran the tokens of all ranks together: what they made belongs to no rank's batch."""
    return any(MIXED_TOKENS in head.run.notes for _, head in gathered.heads)


def _run_misfits(gathered: Gathered) -> Iterable[Mismatch]:
    """What the ranks must have in common."""
    (first, head), *others = gathered.heads
    for rank, trace in others:
        if [[token.id for token in row] for row in trace.tokens] != [
            [token.id for token in row] for row in head.tokens
        ]:
            yield Mismatch("", f"ranks {first} and {rank} ran other tokens: give the files of ranks that ran the same")
            return
    worlds = {parallel.world for parallel in gathered.ranks.values()}
    if len(worlds) > 1:
        yield Mismatch("", f"files of other runs are among them: of {' and of '.join(map(str, sorted(worlds)))} ranks")
        return
    if not _is_part_of_mesh(gathered.ranks.values()):
        yield from _missing(gathered)


def _missing(gathered: Gathered) -> Iterable[Mismatch]:
    """The ranks of the run that there are no files of."""
    world = max(parallel.world for parallel in gathered.ranks.values())
    missing = sorted(set(range(world)) - set(gathered.ranks))
    if missing:
        ranks = ", ".join(map(str, missing[:8])) + (" and more" if len(missing) > 8 else "")
        files = f"the file of rank {ranks} is" if len(missing) == 1 else f"the files of ranks {ranks} are"
        yield Mismatch("", f"{files} missing")


def _is_part_of_mesh(ranks: Iterable[Parallel]) -> bool:
    """Whether the ranks are all that stand at one coordinate of some axes, such as one replica of a model."""
    ranks = list(ranks)
    mesh = ranks[0].mesh
    # Ranks beside the mesh are told of by nothing.
    if any(set(parallel.coordinates) != set(mesh) for parallel in ranks) or prod(mesh.values()) < ranks[0].world:
        return False
    along = {axis: {parallel.coordinates[axis] for parallel in ranks} for axis in mesh}
    places = {tuple(parallel.coordinates[axis] for axis in mesh) for parallel in ranks}
    is_straight = all(len(coordinates) in (1, mesh[axis]) for axis, coordinates in along.items())
    return is_straight and len(places) == len(ranks) == prod(map(len, along.values()))


def _records(wholes: Mapping[str, Whole], gathered: Gathered) -> tuple[tuple[Record, ...], tuple[Value, ...]]:
    """Tensors that are one and the same on a rank are so in the merged trace."""
    index_of = {key: index for index, key in enumerate(wholes)}
    records: list[Record] = []
    values: dict[tuple[tuple[int, ...], ...], Value] = {}
    for index, (key, whole) in enumerate(wholes.items()):
        parts = gathered.parts[key]
        rank = next(holder for holder in parts.holders if holder.record is whole.first).ranks[0]
        inputs = tuple(_input(number, gathered.keys_of[rank], index_of, index) for number in whole.first.inputs)
        records.append(_joined(replace(whole.first, index=index, shape=whole.shape, inputs=inputs, place=WHOLE), parts))
        values.setdefault(parts.identity, whole.value)
    return tuple(records), tuple(values[gathered.parts[key].identity] for key in wholes)


def _joined(record: Record, parts: SiteParts) -> Record:
    """With what ranks say differently of one record."""
    every = [holder.record for holder in parts.holders]
    sources = dict.fromkeys(chain.from_iterable(record.provenance.split("+") for record in every))
    return replace(
        record,
        seconds=max((each.seconds for each in every if each.seconds is not None), default=None),
        provenance="+".join(filter(None, sources)),
        edited=any(each.edited for each in every),
    )


def _input(number: int, keys: Sequence[str], index_of: Mapping[str, int], index: int) -> int:
    """A rank's number of a record as the merged trace's; negative ones stay what they mean."""
    if number < 0:
        return number
    merged = index_of.get(keys[number], UNRECORDED)
    return merged if merged < index else UNRECORDED


def _trace(
    gathered: Gathered,
    records: tuple[Record, ...],
    values: tuple[Value, ...],
    wholes: Mapping[str, Whole],
    replicas: Replicas,
    unknowable: Sequence[str],
) -> Trace:
    heads = [trace for _, trace in gathered.heads]
    first = heads[0]
    parallel = gathered.ranks[gathered.heads[0][0]]
    run = replace(
        first.run,
        parallel=Parallel(parallel.world, None, parallel.mesh),
        notes=tuple(dict.fromkeys(_notes(gathered, unknowable))),
        started=min(filter(None, (head.run.started for head in heads)), default=""),
    )
    pieces: dict[str, tuple[RankPiece, ...]] = {key: whole.pieces for key, whole in wholes.items() if whole.pieces}
    vocabulary: dict[int, Token] = {number: token for head in heads for number, token in head.vocabulary.items()}
    return Trace(
        run=run,
        tokens=first.tokens,
        records=records,
        values=values,
        attention=MappingProxyType(_attention(heads, {record.key: record for record in records})),
        vocabulary=MappingProxyType(vocabulary),
        complete=all(head.complete for head in heads),
        dump=first.dump,
        outline=first.outline,
        generated=first.generated,
        bad_weights=MappingProxyType(_bad_weights(heads)),
        weights=MappingProxyType(_weights(heads)),
        pieces=MappingProxyType(pieces),
        unlike_replicas=replicas.unlike,
    )


def _notes(gathered: Gathered, unknowable: Sequence[str]) -> Iterable[str]:
    """What any rank remarked, but that it is only a rank."""
    for rank, head in gathered.heads:
        yield from (note for note in head.run.notes if note not in gathered.ranks[rank].notes)
    world = next(iter(gathered.ranks.values())).world
    if len(gathered.ranks) < world:
        yield f"merged from {len(gathered.ranks)} of {world} ranks: {', '.join(map(str, sorted(gathered.ranks)))}"
    if _is_mixed(gathered):
        yield "left out is what experts made of the tokens of all ranks together"
    if unknowable:
        count, example = len(unknowable), visible(unknowable[0])
        yield f"left out are {count} partial sums of which no values were kept, such as {example}"


def _attention(heads: Iterable[Trace], records: Mapping[str, Record]) -> dict[str, AttentionCall]:
    """How kernels were called, with as many heads as all ranks have together."""
    calls = {key: call for head in reversed(list(heads)) for key, call in head.attention.items()}
    return {key: _call_of_all(key, call, records) for key, call in calls.items() if key in records}


def _call_of_all(key: str, call: AttentionCall, records: Mapping[str, Record]) -> AttentionCall:
    query, keys = records[key], records.get(key.replace(":q", ":k", 1))
    if not call.heads or len(query.shape) != 4 or keys is None or len(keys.shape) != 4:
        return call
    return replace(call, heads=query.shape[1], kv_heads=keys.shape[1] if call.kv_heads else 0)


def _bad_weights(heads: Iterable[Trace]) -> dict[str, tuple[BadWeight, ...]]:
    """What any rank found in its own weights; replicas found the same."""
    found: dict[str, dict[BadWeight, None]] = {}
    for head in heads:
        for site, weights in head.bad_weights.items():
            found.setdefault(site, {}).update(dict.fromkeys(weights))
    return {site: tuple(weights) for site, weights in found.items()}


def _weights(heads: Iterable[Trace]) -> dict[str, WeightPrint]:
    """Of weights that are the same wherever they are; of one of which ranks have parts nothing is known as a whole."""
    found: dict[str, WeightPrint | None] = {}
    for head in heads:
        for name, weight in head.weights.items():
            found[name] = weight if found.get(name, weight) == weight else None
    return {name: weight for name, weight in found.items() if weight is not None}
