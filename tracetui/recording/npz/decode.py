"""The header of a trace file, read as foreign data: every field's type and range checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
from msgspec import Struct, UnsetType

import tracetui
from tracetui.errors import InputError, bad_field
from tracetui.formats.limits import MAX_DEPTH
from tracetui.formats.npy import MAX_RANK
from tracetui.formats.structs import FLOATS, as_float, read_json
from tracetui.recording.npz.decode_records import check_records, not_whole, optional_float
from tracetui.recording.npz.encode import FLOAT_TAG, FORMAT
from tracetui.recording.npz.forms import (
    AttentionForm,
    BadWeightForm,
    HeaderForm,
    RecordForm,
    RowForm,
    RunForm,
    TimingForm,
)
from tracetui.recording.npz.modules import decode_outline
from tracetui.recording.npz.places import decode_parallel, decode_pieces, decode_places, decode_unlike
from tracetui.recording.npz.weights import weight_prints
from tracetui.recording.outline import Module
from tracetui.recording.parallel import Place, RankPiece, UnlikeReplicas
from tracetui.recording.record import AttentionCall, BadWeight, Token
from tracetui.recording.trace import RunInfo
from tracetui.recording.weight_prints import WeightPrints
from tracetui.text import visible


@dataclass(frozen=True, eq=False, slots=True)
class TraceHeader:
    """All of a trace but its values."""

    run: RunInfo
    tokens: tuple[tuple[Token, ...], ...]
    generated: tuple[int, ...]
    cache: tuple[int, ...]
    vocabulary: MappingProxyType[int, Token]
    attention: MappingProxyType[str, AttentionCall]
    records: Sequence[RecordForm]
    seconds: Sequence[float | None]
    """Parallel to them."""
    complete: bool
    outline: Module
    bad_weights: MappingProxyType[str, tuple[BadWeight, ...]]
    weights: WeightPrints
    places: Sequence[Place]
    """What the records' places number."""
    dump: bool
    pieces: MappingProxyType[str, tuple[RankPiece, ...]]
    unlike_replicas: MappingProxyType[str, UnlikeReplicas]


@dataclass(frozen=True, slots=True)
class Timing:
    """What differs from run to run: when it began, and the seconds of each record."""

    started: str
    seconds: tuple[float | None, ...]


def decode_timing(document: bytes, where: str) -> Timing:
    """Raises InputError."""
    form = read_json(document, TimingForm, where, "seconds")
    return Timing(form.started or "", tuple(map(optional_float, form.seconds)))


def decode_header(document: bytes, where: str, timing: Timing) -> TraceHeader:
    """The header of format 1. Raises InputError naming the field, or the version that reads a later format."""
    form = _read(document, where)
    if len(timing.seconds) != len(form.records):
        raise InputError(f"{where}: records: there are {len(form.records):,}, but times of {len(timing.seconds):,}")
    check_records(form.records, where)
    places = decode_places(form, where)
    tokens = tuple(_row(row, where, f"tokens[{number}]") for number, row in enumerate(form.tokens))
    chosen = _chosen(form, tokens, where)
    prompts = [row[: len(row) - (made > 0)] for row, made in zip(tokens, chosen, strict=True)]
    _check_rows(prompts, form.records, where)
    return TraceHeader(
        run=_run(form.run, timing.started, where),
        tokens=tokens,
        generated=form.generated or (),
        cache=form.cache or (),
        vocabulary=MappingProxyType({token.id: token for token in _row(form.vocabulary, where, "vocabulary")}),
        attention=MappingProxyType({key: _attention(call) for key, call in form.attention.items()}),
        records=form.records,
        seconds=timing.seconds,
        complete=form.complete,
        outline=decode_outline(form.outline, where),
        bad_weights=MappingProxyType(_bad_weights(form.bad_weights or {}, where)),
        weights=MappingProxyType(weight_prints(form.weights or {}, where)),
        places=places,
        dump=form.dump or False,
        pieces=MappingProxyType(decode_pieces(form, places, where)),
        unlike_replicas=MappingProxyType(decode_unlike(form, where)),
    )


def _read(document: bytes, where: str) -> HeaderForm:
    """A later format may have any form: it is named before what is wrong with its fields."""
    try:
        form = read_json(document, HeaderForm, where, "records")
        number, needs = form.format, form.needs
    except InputError:
        number, needs = _later_format(document)
        if number <= FORMAT:
            raise
    if number > FORMAT:
        version = f"tracetui {visible(needs, 20)} or later" if needs else "a later tracetui"
        problem = f"needs {version}; this is {tracetui.__version__}, which reads format {FORMAT}"
        raise bad_field(where, "format", problem, number)
    return form


class _FormatForm(Struct):
    """What every format has; of all else nothing is made."""

    format: int = 0
    needs: str | int | None = None


_FORMAT = msgspec.json.Decoder(_FormatForm)


def _later_format(document: bytes) -> tuple[int, str]:
    """The format that a document of unknown form says that it has, and the version that reads it; 0 if it doesn't."""
    try:
        form = _FORMAT.decode(document)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return 0, ""
    return form.format, form.needs if isinstance(form.needs, str) else ""


def _run(form: RunForm, started: str, where: str) -> RunInfo:
    return RunInfo(
        model=form.model,
        recipe=_mapping(form.recipe, where, "run.recipe"),
        config=_mapping(form.config, where, "run.config"),
        as_built=_mapping({} if isinstance(form.as_built, UnsetType) else form.as_built, where, "run.as_built"),
        tokenizer=form.tokenizer,
        versions=MappingProxyType(form.versions),
        notes=form.notes,
        started=started,
        parallel=None if isinstance(form.parallel, UnsetType) else decode_parallel(form.parallel, where),
    )


def _mapping(table: Mapping[str, object], where: str, name: str) -> MappingProxyType[str, object]:
    return MappingProxyType({key: _plain(value, where, f"{name}.{key}") for key, value in table.items()})


def _plain(value: object, where: str, name: str, depth: int = 0) -> object:
    """JSON data as it is, its tagged floats made floats."""
    if not isinstance(value, list | dict):
        return value
    if depth == MAX_DEPTH:
        raise bad_field(where, visible(name), f"is nested more than {MAX_DEPTH} deep", value)
    if isinstance(value, list):
        return [_plain(item, where, f"{name}[{place}]", depth + 1) for place, item in enumerate(value)]
    tagged = value.get(FLOAT_TAG) if len(value) == 1 else None
    if isinstance(tagged, str) and tagged in FLOATS:
        return FLOATS[tagged]
    return {key: _plain(member, where, f"{name}.{key}", depth + 1) for key, member in value.items()}


def _row(form: RowForm, where: str, name: str) -> tuple[Token, ...]:
    if len(form.bytes) != len(form.ids):
        problem = f"must be as many as there are ids: {len(form.ids):,}"
        raise bad_field(where, f"{name}.bytes", problem, form.bytes)
    for place, number in enumerate(form.special):
        if number >= len(form.ids):
            raise not_whole(where, f"{name}.special[{place}]", 0, len(form.ids) - 1, number)
    special = set(form.special)
    texts = (_exact_bytes(text, where, f"{name}.bytes[{place}]") for place, text in enumerate(form.bytes))
    return tuple(Token(*each, place in special) for place, each in enumerate(zip(form.ids, texts, strict=True)))


def _exact_bytes(text: str, where: str, name: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise bad_field(where, name, "must have one character from U+0000 to U+00FF a byte", text) from error


def _chosen(form: HeaderForm, tokens: Sequence[Sequence[Token]], where: str) -> Sequence[int]:
    """How many of each row's tokens the model chose. Files without generation don't say."""
    if isinstance(form.generated, UnsetType):
        return [0] * len(tokens)
    if len(form.generated) != len(tokens):
        problem = f"must be a count for each of the {len(tokens):,} rows of tokens"
        raise bad_field(where, "generated", problem, list(form.generated))
    for number, (count, row) in enumerate(zip(form.generated, tokens, strict=True)):
        if count > len(row):
            raise not_whole(where, f"generated[{number}]", 0, len(row), count)
    return form.generated


def _check_rows(rows: Sequence[Sequence[Token]], records: Sequence[RecordForm], where: str) -> None:
    """Refuse rows of tokens that the recorded queries [B,H,T,K] have no place for. Rows may be padded, never cut.

    The last token that the model chose is not among them: it has gone through no pass.
    """
    positions: dict[int, int] = {}
    batch = 0
    for record in records:
        if record.site.endswith(":q") and len(record.shape) == 4:
            batch = max(batch, record.shape[0])
            positions[record.pass_] = max(positions.get(record.pass_, 0), record.shape[2])
    longest = sum(positions.values())
    if batch and len(rows) not in (0, batch):
        raise bad_field(where, "tokens", f"must be {batch:,} rows, as the recorded queries have", len(rows))
    for number, row in enumerate(rows):
        if batch and len(row) > longest:
            problem = f"has more tokens than the {longest:,} positions of the recorded queries"
            raise bad_field(where, f"tokens[{number}]", problem, len(row))


def _attention(form: AttentionForm) -> AttentionCall:
    return AttentionCall(
        scale=as_float(form.scale),
        is_causal=form.is_causal,
        kernel=form.kernel,
        softcap=optional_float(form.softcap),
        sliding_window=form.sliding_window,
        heads=form.heads,
        kv_heads=form.kv_heads,
        sinks=form.sinks or False,
        position_bias=form.position_bias or False,
        unexplained=form.unexplained or "",
    )


def _bad_weights(forms: Mapping[str, Iterable[BadWeightForm]], where: str) -> dict[str, tuple[BadWeight, ...]]:
    """Files of runs whose weights are finite, and older ones, have none."""
    return {
        site: tuple(_bad_weight(form, where, f"bad_weights.{site}[{place}]") for place, form in enumerate(weights))
        for site, weights in forms.items()
    }


def _bad_weight(form: BadWeightForm, where: str, name: str) -> BadWeight:
    if form.count > form.numel:
        raise not_whole(where, f"{name}.count", 1, form.numel, form.count)
    if len(form.first) > MAX_RANK:
        raise bad_field(where, visible(f"{name}.first"), f"must be at most {MAX_RANK} numbers", list(form.first))
    for place, index in enumerate(form.first):
        if index >= form.numel:
            raise not_whole(where, f"{name}.first[{place}]", 0, form.numel - 1, index)
    return BadWeight(form.name, form.count, form.numel, form.first)
