"""What a trace file's header and timing look like as JSON (docs/trace-format.md); a field with a default came later."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from tracetui.formats.limits import MAX_COUNT, MAX_RECORDS
from tracetui.formats.misfit import MUST
from tracetui.formats.structs import Count, Number

Positive = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
Whole = Annotated[int, Meta(ge=-MAX_COUNT, le=MAX_COUNT)]
Range = Annotated[tuple[Count, Count], Meta(extra={MUST: "be a list of 2 whole numbers"})]
NamedShape = Annotated[tuple[str, tuple[Count, ...]], Meta(extra={MUST: "be a name and a shape"})]


class StatisticsForm(Struct, gc=False):
    numel: Count
    nan: Count
    posinf: Count
    neginf: Count
    zeros: Count
    l2: Number | None
    mean: Number | None
    std: Number | None
    min: Number | None
    max: Number | None


class RecordForm(Struct, gc=False, rename={"pass_": "pass"}):
    site: str
    shape: tuple[Count, ...]
    dtype: str
    depth: Count
    parent: str
    pass_: Count
    call: Count
    part: Count
    provenance: str
    statistics: StatisticsForm
    key: str | None
    """The name of a stored array, or null."""
    edited: bool | UnsetType = UNSET
    inputs: tuple[Whole, ...] | UnsetType = UNSET
    place: Count | UnsetType = UNSET
    """The number of one of the header's places."""


class RowForm(Struct):
    """Tokens, apart in columns."""

    ids: list[Whole]
    bytes: list[str]
    """A character from U+0000 to U+00FF a byte."""
    special: list[Count]
    """Which of them are special."""


class AttentionForm(Struct, gc=False):
    scale: Number
    is_causal: bool
    kernel: str
    softcap: Number | None
    sliding_window: Count | None
    heads: Count
    kv_heads: Count
    sinks: bool | UnsetType = UNSET
    position_bias: bool | UnsetType = UNSET
    unexplained: str | UnsetType = UNSET


class BadWeightForm(Struct, gc=False):
    name: str
    count: Positive
    numel: Positive
    first: tuple[Count, ...]


class WeightForm(Struct, gc=False):
    shape: tuple[Count, ...]
    dtype: str
    provenance: str
    digest: str
    sample: str
    """float32 numbers in base64."""
    rows: str | UnsetType = UNSET


class ModuleForm(Struct):
    depth: Count
    path: str
    kind: str
    parameters: Count
    weights: tuple[NamedShape, ...] | UnsetType = UNSET
    skipped: bool | UnsetType = UNSET
    indices: tuple[Count, ...] | UnsetType = UNSET
    active: Count | UnsetType = UNSET
    elsewhere: dict[str, str] | UnsetType = UNSET


class ParallelForm(Struct):
    world: Positive
    rank: Count | None
    mesh: dict[str, Positive]
    coordinates: dict[str, Count]


class ShardForm(Struct):
    dimension: Count
    of: Positive
    at: Count
    size: Count
    ranges: tuple[Range, ...]


class PlaceForm(Struct):
    shards: tuple[ShardForm, ...] | UnsetType = UNSET
    partial: tuple[str, ...] | UnsetType = UNSET
    experts: Range | UnsetType = UNSET


class UnlikeForm(Struct):
    groups: tuple[tuple[Count, ...], ...]
    max_abs: Number | UnsetType = UNSET
    count: Count | UnsetType = UNSET


class RunForm(Struct):
    model: str
    recipe: dict[str, Any]
    config: dict[str, Any]
    tokenizer: str
    versions: dict[str, str]
    notes: tuple[str, ...]
    parallel: ParallelForm | UnsetType = UNSET
    as_built: dict[str, Any] | UnsetType = UNSET


class HeaderForm(Struct):
    format: Positive
    records: Annotated[list[RecordForm], Meta(max_length=MAX_RECORDS)]
    complete: bool
    run: RunForm
    tokens: list[RowForm]
    vocabulary: RowForm
    attention: dict[str, AttentionForm]
    needs: str | UnsetType = UNSET
    generated: tuple[Count, ...] | UnsetType = UNSET
    cache: tuple[Count, ...] | UnsetType = UNSET
    bad_weights: dict[str, list[BadWeightForm]] | UnsetType = UNSET
    outline: list[ModuleForm] | UnsetType = UNSET
    weights: dict[str, WeightForm] | UnsetType = UNSET
    places: list[PlaceForm] | UnsetType = UNSET
    pieces: dict[str, list[Range]] | UnsetType = UNSET
    """Pairs of a rank and the number of its place."""
    unlike_replicas: dict[str, UnlikeForm] | UnsetType = UNSET
    dump: bool | UnsetType = UNSET


class TimingForm(Struct):
    seconds: list[Number | None]
    started: str | UnsetType = UNSET
