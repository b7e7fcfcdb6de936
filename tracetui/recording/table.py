"""Records and their statistics as rows of a plain table."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.recording.trace import Trace
from tracetui.recording.value import is_kept

COLUMNS = (
    *("step", "key", "site", "layer", "pass", "call", "part", "shape", "dtype", "numel"),
    *("l2", "mean", "std", "min", "max", "nan", "posinf", "neginf", "zeros", "kept", "seconds", "provenance", "place"),
)
Cell = str | int | float | bool | None


def rows(trace: Trace) -> Iterator[tuple[Cell, ...]]:
    """One row a record, in `COLUMNS`' order; a shape is `1x9x32`.

    None is what isn't known, what has no finite element, and the place of what is whole.
    """
    for record in trace.records:
        statistics = trace.statistics(record)
        yield (
            *(record.index, record.key, record.site, record.layer, record.pass_, record.call, record.part),
            *("x".join(map(str, record.shape)), record.dtype, record.numel),
            *(
                value if statistics.finite_count else None
                for value in (statistics.l2, statistics.mean, statistics.std, statistics.min, statistics.max)
            ),
            *(statistics.nan, statistics.posinf, statistics.neginf),
            *(statistics.zeros, is_kept(trace.value(record)), record.seconds, record.provenance),
            record.place.words or None,
        )
