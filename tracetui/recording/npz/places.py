"""Which rank recorded, and where its records' tensors stand in the whole ones, as JSON data and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from msgspec import UnsetType

from tracetui.errors import bad_field
from tracetui.recording.npz.decode_records import not_whole
from tracetui.recording.npz.forms import HeaderForm, ParallelForm, PlaceForm, ShardForm
from tracetui.recording.parallel import WHOLE, Parallel, Place, Shard
from tracetui.recording.record import Record


def parallel_form(parallel: Parallel) -> dict[str, object]:
    return {
        "world": parallel.world,
        "rank": parallel.rank,
        "mesh": dict(parallel.mesh),
        "coordinates": dict(parallel.coordinates),
    }


def numbered_places(records: Iterable[Record]) -> dict[Place, int]:
    """The number of each place that one of the records has; the whole has none."""
    numbers: dict[Place, int] = {}
    for record in records:
        if record.place != WHOLE:
            numbers.setdefault(record.place, len(numbers))
    return numbers


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
