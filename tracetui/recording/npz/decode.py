"""The header of a trace file, read as foreign data: every field's type and range checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import tracetui
from tracetui.errors import InputError, bad_field
from tracetui.formats.fields import Field, parse
from tracetui.formats.limits import MAX_COUNT, MAX_RECORDS
from tracetui.formats.npy import MAX_RANK, possible
from tracetui.recording.npz.encode import FORMAT
from tracetui.recording.npz.modules import decode_outline
from tracetui.recording.outline import Module
from tracetui.recording.record import CALLERS, AttentionCall, BadWeight, Record, Token
from tracetui.recording.statistics import Statistics, without_finite
from tracetui.recording.trace import RunInfo


@dataclass(frozen=True, eq=False, slots=True)
class TraceHeader:
    """All of a trace but its values; `statistics` and `keys` run parallel to `records`."""

    run: RunInfo
    tokens: tuple[tuple[Token, ...], ...]
    generated: tuple[int, ...]
    cache: tuple[int, ...]
    vocabulary: MappingProxyType[int, Token]
    attention: MappingProxyType[str, AttentionCall]
    records: tuple[Record, ...]
    statistics: tuple[Statistics, ...]
    keys: tuple[Field, ...]
    """Each the name of a stored array, or null."""
    complete: bool
    outline: Module
    bad_weights: MappingProxyType[str, tuple[BadWeight, ...]]


@dataclass(frozen=True, slots=True)
class Timing:
    """What differs from run to run: when it began, and the seconds of each record."""

    started: str
    seconds: tuple[float | None, ...]


def decode_timing(document: bytes, where: str) -> Timing:
    """Raises InputError."""
    root = parse(document, where)
    started = root.get("started")
    return Timing(started.text() if started else "", tuple(_optional_number(item) for item in root["seconds"].items()))


def decode_header(document: bytes, where: str, timing: Timing) -> TraceHeader:
    """The header of format 1. Raises InputError naming the field, or the version that reads a later format."""
    root = parse(document, where)
    _check_format(root)
    items = list(root["records"].items())
    if len(items) > MAX_RECORDS:
        raise InputError(f"{where}: records: more than {MAX_RECORDS:,}, got {len(items):,}")
    seconds = timing.seconds
    if len(seconds) != len(items):
        raise InputError(f"{where}: records: there are {len(items):,}, but times of {len(seconds):,}")
    records = tuple(_record(item, index, seconds[index]) for index, item in enumerate(items))
    tokens = tuple(_row(row) for row in root["tokens"].items())
    generated = _generated(root, tokens)
    _check_rows(root["tokens"], [row[: len(row) - (made > 0)] for row, made in generated], records)
    return TraceHeader(
        run=_run(root["run"], timing.started),
        tokens=tokens,
        generated=tuple(made for _, made in generated) if root.get("generated") else (),
        cache=tuple(item.whole() for item in cache.items()) if (cache := root.get("cache")) else (),
        vocabulary=MappingProxyType({token.id: token for token in _row(root["vocabulary"])}),
        attention=MappingProxyType({key: _attention(call) for key, call in root["attention"].members()}),
        records=records,
        statistics=tuple(_statistics(item["statistics"]) for item in items),
        keys=tuple(item["key"] for item in items),
        complete=root["complete"].flag(),
        outline=decode_outline(root.get("outline")),
        bad_weights=MappingProxyType(_bad_weights(root.get("bad_weights"))),
    )


def _check_format(root: Field) -> None:
    number = root["format"].whole(1)
    if number > FORMAT:
        needs = root["needs"].text()
        raise root["format"].wrong(
            f"needs tracetui {needs[:20]} or later; this is {tracetui.__version__}, which reads format {FORMAT}"
        )


def _run(field: Field, started: str) -> RunInfo:
    return RunInfo(
        model=field["model"].text(),
        recipe=_mapping(field["recipe"]),
        config=_mapping(field["config"]),
        tokenizer=field["tokenizer"].text(),
        versions=MappingProxyType({name: version.text() for name, version in field["versions"].members()}),
        notes=tuple(note.text() for note in field["notes"].items()),
        started=started,
    )


def _mapping(field: Field) -> MappingProxyType[str, object]:
    return MappingProxyType({name: member.plain() for name, member in field.members()})


def _row(field: Field) -> tuple[Token, ...]:
    ids = [item.whole(-MAX_COUNT) for item in field["ids"].items()]
    texts = [_exact_bytes(item) for item in field["bytes"].items()]
    if len(texts) != len(ids):
        raise field["bytes"].wrong(f"must be as many as there are ids: {len(ids):,}")
    special = {item.whole(0, len(ids) - 1) for item in field["special"].items()}
    return tuple(Token(*each, place in special) for place, each in enumerate(zip(ids, texts, strict=True)))


def _generated(root: Field, tokens: Sequence[Sequence[Token]]) -> list[tuple[Sequence[Token], int]]:
    """Each row with how many of its tokens the model chose. Files without generation don't say."""
    field = root.get("generated")
    if field is None:
        return [(row, 0) for row in tokens]
    counts = list(field.items())
    if len(counts) != len(tokens):
        raise field.wrong(f"must be a count for each of the {len(tokens):,} rows of tokens")
    return [(row, count.whole(0, len(row))) for row, count in zip(tokens, counts, strict=True)]


def _check_rows(field: Field, rows: Sequence[Sequence[Token]], records: Sequence[Record]) -> None:
    """Refuse rows of tokens that the recorded queries [B,H,T,K] have no place for. Rows may be padded, never cut.

    The last token that the model chose is not among them: it has gone through no pass.
    """
    positions: dict[int, int] = {}
    batch = 0
    for record in records:
        if record.role == "q" and len(record.shape) == 4:
            batch = max(batch, record.shape[0])
            positions[record.pass_] = max(positions.get(record.pass_, 0), record.shape[2])
    longest = sum(positions.values())
    if batch and len(rows) not in (0, batch):
        raise bad_field(field.where, field.name, f"must be {batch:,} rows, as the recorded queries have", len(rows))
    for number, row in enumerate(rows):
        if batch and len(row) > longest:
            problem = f"has more tokens than the {longest:,} positions of the recorded queries"
            raise bad_field(field.where, f"{field.name}[{number}]", problem, len(row))


def _exact_bytes(field: Field) -> bytes:
    try:
        return field.text().encode("latin-1")
    except UnicodeEncodeError as error:
        raise field.wrong("must have one character from U+0000 to U+00FF a byte") from error


def _attention(field: Field) -> AttentionCall:
    window = field["sliding_window"]
    return AttentionCall(
        scale=field["scale"].number(),
        is_causal=field["is_causal"].flag(),
        kernel=field["kernel"].text(),
        softcap=_optional_number(field["softcap"]),
        sliding_window=None if window.found is None else window.whole(),
        heads=field["heads"].whole(),
        kv_heads=field["kv_heads"].whole(),
        sinks=sinks.flag() if (sinks := field.get("sinks")) else False,
        position_bias=bias.flag() if (bias := field.get("position_bias")) else False,
        unexplained=reason.text() if (reason := field.get("unexplained")) else "",
    )


def _bad_weights(field: Field | None) -> dict[str, tuple[BadWeight, ...]]:
    """Files of runs whose weights are finite, and older ones, have none."""
    if field is None:
        return {}
    return {site: tuple(map(_bad_weight, weights.items())) for site, weights in field.members()}


def _bad_weight(field: Field) -> BadWeight:
    numel = field["numel"].whole(1)
    return BadWeight(field["name"].text(), field["count"].whole(1, numel), numel, _index(field["first"], numel))


def _index(field: Field, numel: int) -> tuple[int, ...]:
    """The place of one of so many elements."""
    index = tuple(place.whole(0, numel - 1) for place in field.items())
    if len(index) > MAX_RANK:
        raise field.wrong(f"must be at most {MAX_RANK} numbers")
    return index


def _record(field: Field, index: int, seconds: float | None) -> Record:
    return Record(
        index=index,
        site=field["site"].text(),
        shape=_shape(field["shape"]),
        dtype=field["dtype"].text(),
        depth=field["depth"].whole(),
        parent=field["parent"].text(),
        pass_=field["pass"].whole(),
        call=field["call"].whole(),
        part=field["part"].whole(),
        seconds=seconds,
        provenance=field["provenance"].text(),
        edited=edited.flag() if (edited := field.get("edited")) else False,
        inputs=_inputs(inputs, index) if (inputs := field.get("inputs")) else (),
    )


def _inputs(found: Field, index: int) -> tuple[int, ...]:
    """What a record was made of came before it."""
    return tuple(item.whole(CALLERS, index - 1) for item in found.items())


def _shape(found: Field) -> tuple[int, ...]:
    shape = tuple(item.whole() for item in found.items())
    if not possible(shape):
        raise found.wrong(f"must be one of at most {MAX_RANK} lengths and of a size that a file can have")
    return shape


def _statistics(field: Field) -> Statistics:
    numel = field["numel"].whole()
    nan, posinf, neginf, zeros = (field[name].whole(0, numel) for name in ("nan", "posinf", "neginf", "zeros"))
    if nan + posinf + neginf > numel:
        raise field.wrong(f"must not count more than its {numel:,} elements as NaN or infinite")
    numbers = [_optional_number(field[name]) for name in ("l2", "mean", "std", "min", "max")]
    if numel == nan + posinf + neginf and not any(numbers):
        # Older files have zeros for what no finite element tells.
        return replace(without_finite(numel, nan, posinf, neginf), zeros=zeros)
    l2, mean, std, low, high = (math.nan if value is None else value for value in numbers)
    return Statistics(numel, l2, mean, std, low, high, nan, posinf, neginf, zeros)


def _optional_number(field: Field) -> float | None:
    return None if field.found is None else field.number()
