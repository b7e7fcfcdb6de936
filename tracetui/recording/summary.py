"""What a trace is about, in lines of plain text at most 80 cells wide."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import prod

from tracetui.formats.npy import stored_as
from tracetui.recording.health import comes_near_limit, may_hide, near_limit_share
from tracetui.recording.npz.array_file import StoredValue
from tracetui.recording.parallel import Parallel
from tracetui.recording.record import Record, Token
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError, Value, is_kept
from tracetui.text import number, size, statistic, token_text, visible

WIDTH = 80
_INDENT = 11
_TOKENS = 200
"""Tokens of a prompt that are listed."""
_RECORDS, _LARGEST, _ALARMS, _LOST = 20, 3, 10, 10
_SITE = 46
_MOST_ARRAYS, _MOST_BYTES = 100_000, 4 << 30
"""Of a dump, all of which is read to know its statistics: a small file may unpack to a thousand times its size."""
_ESSENTIALS = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("intermediate_size", "moe_intermediate_size", "num_experts", "n_routed_experts", "num_local_experts"),
    *("num_experts_per_tok", "n_shared_experts", "q_lora_rank", "kv_lora_rank", "vocab_size", "sliding_window"),
    *("rms_norm_eps", "rope_theta", "hidden_act", "tie_word_embeddings"),
)
_SHOWN = 60
"""Entries of a table, and notes, that are shown."""


def describe(trace: Trace, path_size: int) -> list[str]:
    """Model, prompt, records, sizes, alarms and the first records of a trace whose file has `path_size` bytes."""
    unread = _unread(trace, path_size)
    return [
        *_about(trace),
        *_prompts(trace.tokens),
        *_generated(trace),
        *_record_counts(trace, path_size),
        *(_entry("NaN, Inf", unread.split(), gap=" ") if unread else (*_alarms(trace), *_near_limits(trace))),
        *_largest(trace),
        "",
        *_record_list(trace, is_read=not unread),
    ]


def _unread(trace: Trace, path_size: int) -> str:
    """Why values aren't looked at; empty where they are. A recording has their statistics in its header."""
    if not trace.dump:
        return ""
    total = sum(map(_nbytes, trace.values))
    if len(trace.values) <= _MOST_ARRAYS and total <= max(_MOST_BYTES, 2 * path_size):
        return ""
    return f"not looked for in {len(trace.values):,} arrays of {size(total)}; `tracetui export F --csv` does"


def _about(trace: Trace) -> Iterator[str]:
    run = trace.run
    config = [f"{name} {_short(run.config[name])}" for name in _ESSENTIALS if run.config.get(name) is not None]
    unnamed = "a file of named tensors, no trace of tracetui's" if trace.dump else "unnamed"
    yield from _entry("model", [visible(run.model) or unnamed])
    yield from _entry("config", config)
    yield from _entry("recipe", _pairs(run.recipe))
    yield from _entry("tokenizer", visible(run.tokenizer).split(), gap=" ")
    yield from _entry("versions", _pairs(run.versions))
    yield from _entry("ranks", _ranks(trace))
    for note in islice(run.notes, _SHOWN):
        yield from _entry("note", visible(note).split(), gap=" ")


def _ranks(trace: Trace) -> list[str]:
    """Whose records these are, and where ranks that should have the same have not."""
    parallel = trace.run.parallel
    if parallel is None:
        return []
    axes = [f"{visible(axis, 40)} {_at(parallel, axis)}" for axis in parallel.mesh]
    if parallel.rank is not None:
        parts = sum(not record.place.is_whole for record in trace.records)
        return [f"{parallel.rank} of {parallel.world}", *axes, f"{parts:,} records are parts"]
    unlike = len(trace.unlike_replicas)
    differing = [f"replicas differ at {unlike:,}"] if unlike else []
    return [f"all {parallel.world}", *axes, f"{len(trace.pieces):,} records put together", *differing]


def _at(parallel: Parallel, axis: str) -> str:
    """Where along an axis, and how many there are."""
    at = parallel.coordinates.get(axis)
    return f"{parallel.mesh[axis]}" if at is None else f"{at} of {parallel.mesh[axis]}"


def _pairs(table: Mapping[str, object]) -> list[str]:
    """The first plain values of a table: a stranger's may hold millions."""
    return [
        visible(f"{name} {_layers(value) if name == 'layers' else value}")
        for name, value in islice(table.items(), _SHOWN)
        if (isinstance(value, str | int | float) and value != "") or (name == "layers" and _layers(value))
    ]


def _layers(value: object) -> str:
    """`0:4` of the two numbers that say which layers were built."""
    pair = isinstance(value, list | tuple) and len(value) == 2 and all(type(end) is int for end in value)
    return ":".join(map(str, value)) if pair and isinstance(value, list | tuple) else ""


def _short(value: object) -> str:
    """A value in a few words, whatever its size."""
    return f"({len(value)} items)" if isinstance(value, Mapping | list | tuple) else visible(str(value), 100)


def _prompts(rows: Sequence[Sequence[Token]]) -> Iterator[str]:
    for row in rows:
        texts = [f"{token.id} {token_text(token.bytes)}".rstrip() for token in row[:_TOKENS]]
        more = [f"and {len(row) - _TOKENS:,} more"] if len(row) > _TOKENS else []
        yield from _entry("tokens", [f"{len(row):,}:", *texts, *more])


def _generated(trace: Trace) -> Iterator[str]:
    """How many of each row's tokens the model chose, and what its cache took at the end."""
    if not trace.generated:
        return
    rows = [f"the last {made} of row {row}" for row, made in enumerate(trace.generated[:_LOST])]
    yield from _entry("generated", [*rows, *([f"cache {size(trace.cache[-1])}"] if trace.cache else [])])


def _record_counts(trace: Trace, path_size: int) -> Iterator[str]:
    records = trace.records
    layers = len({record.layer for record in records} - {None})
    passes = len({record.pass_ for record in records})
    kept = [is_kept(value) for value in trace.values]
    state = "the run to its end" if trace.complete else "left before its end"
    # A file in names of its own may well have layers.
    spread = [*([_times(layers, "layer")] if layers else []), _times(passes, "pass", "passes")]
    where = f"in {' and '.join(spread)}"
    counts = f"{len(records):,} {where}, {sum(kept):,} with values{'' if trace.dump else f'; {state}'}"
    yield from _entry("records", counts.split(), gap=" ")
    lost = [record for record, is_there in zip(records, kept, strict=True) if not is_there]
    more = [f"and {len(lost) - _LOST:,} more"] if len(lost) > _LOST else []
    sites = [_site(record, _SITE).strip() for record in lost[:_LOST]]
    yield from _entry("statistics", [f"only, of {len(lost):,}:", *sites, *more] if lost else [])
    distinct = {id(value): value for value, is_there in zip(trace.values, kept, strict=True) if is_there}
    values = sum(map(_nbytes, distinct.values()))
    yield from _entry("size", [f"{size(path_size)}, of which values {size(values)}"])
    yield from _entry("dtypes", _counted(record.dtype for record in records))
    yield from _entry("weights", _counted(record.provenance for record in records if record.provenance))


def _times(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _counted(names: Iterable[str]) -> list[str]:
    return [f"{visible(name, 40)} {times:,}" for name, times in Counter(names).most_common()]


def _nbytes(value: Value) -> int:
    """What a value takes in its file, or will in a trace's: there bfloat16 is kept as float32."""
    if isinstance(value, StoredValue):
        return value.stored_bytes
    return stored_as(value.dtype).itemsize * prod(value.shape)


def _alarms(trace: Trace) -> Iterator[str]:
    """Records with NaN or Inf where none belongs."""
    alarms = [(record, text) for record in trace.records if (text := _alarm(trace, record))]
    yield from _entry("NaN, Inf", [f"in {len(alarms):,} of {len(trace.records):,} records" if alarms else "none"])
    for record, text in alarms[:_ALARMS]:
        yield _fit(f"{'':{_INDENT}}{_site(record, 40)}  {text}", WIDTH)
    if len(alarms) > _ALARMS:
        yield f"{'':{_INDENT}}and {len(alarms) - _ALARMS:,} more"


def _alarm(trace: Trace, record: Record) -> str:
    """How many elements of a record are not finite that should be; empty where none is."""
    statistics = trace.statistics(record)
    neginf = 0 if may_hide(record) else statistics.neginf
    counts = {"nan": statistics.nan, "+inf": statistics.posinf, "-inf": neginf}
    return "  ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def _near_limits(trace: Trace) -> Iterator[str]:
    """Records within a factor of two of what their dtype can hold, where there are any."""
    near = [record for record in trace.records if comes_near_limit(record, trace.statistics(record))]
    if near:
        yield from _entry("near limit", [f"{len(near):,} of {len(trace.records):,} records, within 2× of overflow"])
    for record in near[:_ALARMS]:
        share = _near_share(trace, record)
        absmax = number(trace.statistics(record).absmax)
        yield _fit(f"{'':{_INDENT}}{_site(record, 36)}  {share} of {record.dtype}, up to {absmax}", WIDTH)
    if len(near) > _ALARMS:
        yield f"{'':{_INDENT}}and {len(near) - _ALARMS:,} more"


def _near_share(trace: Trace, record: Record) -> str:
    try:
        return f"{near_limit_share(record, trace.value(record)):.3%}"
    except NotKeptError:
        return "some"


def _largest(trace: Trace) -> Iterator[str]:
    distinct = {id(value): (_nbytes(value), record) for record, value in zip(trace.records, trace.values, strict=True)}
    by_size = sorted(distinct.values(), key=lambda each: (-each[0], each[1].index))
    for place, (byte_count, record) in enumerate(by_size[:_LARGEST]):
        text = f"{size(byte_count):12}{_site(record, 36)}  {_shape(record)}"
        yield _fit(f"{'' if place else 'largest':{_INDENT}}{text}", WIDTH)


def _record_list(trace: Trace, is_read: bool = True) -> Iterator[str]:
    yield f"{'step':>6}  {'site':{_SITE}}{'shape':14}{'L2' if is_read else '':>11}".rstrip()
    partly = False
    for record in trace.records[:_RECORDS]:
        norm = _norm(trace.statistics(record)) if is_read else ""
        partly = partly or norm.endswith("*")
        yield f"{record.index:>6}  {_site(record, _SITE - 2)}  {_padded(_shape(record), 14)}{norm:>12}".rstrip()
    if len(trace.records) > _RECORDS:
        yield f"{'':8}and {len(trace.records) - _RECORDS:,} more"
    if partly:
        yield f"{'':8}* over the elements that are finite"


def _norm(statistics: Statistics) -> str:
    return f"{statistic(statistics.l2)}{'*' if statistics.finite_count and not statistics.finite else ' '}"


def _shape(record: Record) -> str:
    return "×".join(map(str, record.shape)) or "scalar"


def _site(record: Record, width: int) -> str:
    """The record's key in exactly `width` cells; of a long one the end."""
    key = visible(record.key)
    return _padded(key if _cells(key) <= width else f"…{_fit(key[::-1], width - 1, '')[::-1]}", width)


def _entry(title: str, items: Sequence[str], gap: str = "  ") -> Iterator[str]:
    """Lines with the title in front of the first; none without items."""
    line = ""
    for item in items:
        text = _fit(item, WIDTH - _INDENT)
        if line and _cells(line) + len(gap) + _cells(text) > WIDTH - _INDENT:
            yield f"{title:{_INDENT}}{line}"
            title, line = "", ""
        line = f"{line}{gap}{text}" if line else text
    if line:
        yield f"{title:{_INDENT}}{line}"


def _cells(text: str) -> int:
    """How wide a terminal draws visible text."""
    return sum(_cell(char) for char in text)


def _cell(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _fit(text: str, width: int, end: str = "…") -> str:
    """As much of the text as `width` cells hold, `end` included if any is left out."""
    if _cells(text) <= width:
        return text
    kept, room = "", width - len(end)
    for char in text:
        room -= _cell(char)
        if room < 0:
            break
        kept += char
    return kept + end


def _padded(text: str, width: int) -> str:
    fitting = _fit(text, width)
    return fitting + " " * (width - _cells(fitting))
