"""Which rank recorded, and where its records' tensors stand in the whole ones, as JSON data and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType

from msgspec import UnsetType

from tracetui.errors import bad_field
from tracetui.formats.structs import as_float
from tracetui.recording.npz.decode_records import not_whole
from tracetui.recording.npz.forms import HeaderForm, ParallelForm, PlaceForm, ShardForm
from tracetui.recording.parallel import WHOLE, Parallel, Place, RankPiece, Shard, UnlikeReplicas
from tracetui.recording.trace import Trace
from tracetui.text import visible


def parallel_form(parallel: Parallel) -> dict[str, object]:
    return {
        "world": parallel.world,
        "rank": parallel.rank,
        "mesh": dict(parallel.mesh),
        "coordinates": dict(parallel.coordinates),
    }


def numbered_places(trace: Trace) -> dict[Place, int]:
    """The number of each place that a record or a piece has; the whole has none."""
    numbers: dict[Place, int] = {}
    pieces = (piece.place for pieces in trace.pieces.values() for piece in pieces)
    for place in chain((record.place for record in trace.records), pieces):
        if place != WHOLE:
            numbers.setdefault(place, len(numbers))
    return numbers


def piece_forms(pieces: Mapping[str, Sequence[RankPiece]], places: Mapping[Place, int]) -> dict[str, object]:
    """Of each key, pairs of a rank and the number of its place."""
    return {key: [[piece.rank, places[piece.place]] for piece in each] for key, each in pieces.items()}


def unlike_forms(unlike: Mapping[str, UnlikeReplicas]) -> dict[str, object]:
    """Of each key; what isn't known is left out."""
    return {
        key: {
            "groups": [list(group) for group in each.groups],
            **({} if each.max_abs is None else {"max_abs": "Infinity" if math.isinf(each.max_abs) else each.max_abs}),
            **({} if each.count is None else {"count": each.count}),
        }
        for key, each in unlike.items()
    }


def place_form(place: Place) -> dict[str, object]:
    """What a place says; fields that would be empty are left out."""
    shards = [_shard_form(shard) for shard in place.shards]
    return {
        **({"shards": shards} if shards else {}),
        **({"partial": list(place.partial)} if place.partial else {}),
        **({"experts": list(place.experts)} if place.experts is not None else {}),
    }


def _shard_form(shard: Shard) -> dict[str, object]:
    ranges = [list(each) for each in shard.ranges]
    return {"dimension": shard.dimension, "of": shard.of, "at": shard.at, "size": shard.size, "ranges": ranges}


def decode_parallel(form: ParallelForm, where: str) -> Parallel:
    """Raises InputError."""
    name = "run.parallel"
    if form.rank is not None and form.rank >= form.world:
        raise not_whole(where, f"{name}.rank", 0, form.world - 1, form.rank)
    for axis, size in form.mesh.items():
        if size > form.world:
            raise not_whole(where, f"{name}.mesh.{axis}", 1, form.world, size)
    for axis, at in form.coordinates.items():
        if axis not in form.mesh:
            raise bad_field(where, f"{name}.coordinates", "must be along axes that the mesh has", axis)
        if at >= form.mesh[axis]:
            raise not_whole(where, f"{name}.coordinates.{axis}", 0, form.mesh[axis] - 1, at)
    return Parallel(form.world, form.rank, MappingProxyType(form.mesh), MappingProxyType(form.coordinates))


def decode_places(form: HeaderForm, where: str) -> tuple[Place, ...]:
    """The header's places, each checked against the records that have it. Raises InputError."""
    forms = () if isinstance(form.places, UnsetType) else form.places
    axes = {} if isinstance(form.run.parallel, UnsetType) else form.run.parallel.mesh
    places = tuple(_place(each, axes, where, f"places[{number}]") for number, each in enumerate(forms))
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for index, record in enumerate(form.records):
        if isinstance(record.place, UnsetType) or (record.place, record.shape) in seen:
            continue
        if record.place >= len(places):
            problem = f"must be the number of one of the {len(places):,} places"
            raise bad_field(where, f"records[{index}].place", problem, record.place)
        _check_shape(places[record.place], record.shape, where, f"records[{index}]")
        seen.add((record.place, record.shape))
    return places


def decode_pieces(form: HeaderForm, places: Sequence[Place], where: str) -> dict[str, tuple[RankPiece, ...]]:
    """Of a merged trace; others have none. Raises InputError."""
    return {
        key: tuple(_piece(each, form, places, where, f"pieces.{key}[{number}]") for number, each in enumerate(pairs))
        for key, pairs in (form.pieces or {}).items()
    }


def _piece(pair: tuple[int, int], form: HeaderForm, places: Sequence[Place], where: str, name: str) -> RankPiece:
    rank, place = pair
    _check_rank(rank, form, where, f"{name}[0]")
    if place >= len(places):
        raise not_whole(where, f"{name}[1]", 0, len(places) - 1, place)
    return RankPiece(rank, places[place])


def decode_unlike(form: HeaderForm, where: str) -> dict[str, UnlikeReplicas]:
    """Raises InputError."""
    found = {}
    for key, each in (form.unlike_replicas or {}).items():
        for place, group in enumerate(each.groups):
            for number, rank in enumerate(group):
                _check_rank(rank, form, where, f"unlike_replicas.{key}.groups[{place}][{number}]")
        if len(each.groups) < 2 or not all(each.groups):
            problem = "must be two groups of ranks or more, and none of them empty"
            raise bad_field(where, visible(f"unlike_replicas.{key}.groups"), problem, each.groups)
        max_abs = None if isinstance(each.max_abs, UnsetType) else as_float(each.max_abs)
        found[key] = UnlikeReplicas(each.groups, max_abs, None if isinstance(each.count, UnsetType) else each.count)
    return found


def _check_rank(rank: int, form: HeaderForm, where: str, name: str) -> None:
    if isinstance(form.run.parallel, UnsetType):
        raise bad_field(where, visible(name), "must be a rank, and there is no run.parallel to say of how many", rank)
    if rank >= form.run.parallel.world:
        raise not_whole(where, name, 0, form.run.parallel.world - 1, rank)


def _place(form: PlaceForm, axes: Mapping[str, int], where: str, name: str) -> Place:
    shards = tuple(_shard(each, where, f"{name}.shards[{number}]") for number, each in enumerate(form.shards or ()))
    if len({each.dimension for each in shards}) < len(shards):
        raise bad_field(where, f"{name}.shards", "must cut each dimension once", [each.dimension for each in shards])
    partial = form.partial or ()
    for number, axis in enumerate(partial):
        if axis not in axes or axis in partial[:number]:
            problem = "must be an axis of run.parallel.mesh, each once"
            raise bad_field(where, f"{name}.partial[{number}]", problem, axis)
    return Place(shards, partial, None if isinstance(form.experts, UnsetType) else form.experts)


def _shard(form: ShardForm, where: str, name: str) -> Shard:
    if form.at >= form.of:
        raise not_whole(where, f"{name}.at", 0, form.of - 1, form.at)
    after = 0
    for number, (first, end) in enumerate(form.ranges):
        if not after <= first < end <= form.size:
            problem = f"must begin behind the range before it and end within the {form.size:,} of the whole"
            raise bad_field(where, f"{name}.ranges[{number}]", problem, [first, end])
        after = end
    return Shard(form.dimension, form.of, form.at, form.size, form.ranges)


def _check_shape(place: Place, shape: tuple[int, ...], where: str, name: str) -> None:
    """A part is as long as its ranges."""
    for shard in place.shards:
        if shard.dimension >= len(shape) or shape[shard.dimension] != shard.length:
            problem = f"must be {shard.length:,} long along dimension {shard.dimension}, as its place says"
            raise bad_field(where, f"{name}.shape", problem, list(shape))
