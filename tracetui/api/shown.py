"""A trace as a notebook shows it: one line of text, or a table in HTML."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tracetui.recording.record import Record, Token, is_layer
from tracetui.recording.trace import Trace
from tracetui.text import statistic, visible
from tracetui.views.tokens import token_label

_TOKENS = 60
_ROWS = 80


def trace_line(trace: Trace) -> str:
    """`<Trace of llama3-2layer: 17 tokens, 104 records in 2 layers>`."""
    name = f" of {visible(trace.run.model, 60)}" if trace.run.model else ""
    rows = [len(row) for row in trace.tokens]
    prompts = f"{len(rows)} prompts of up to {max(rows)} tokens" if len(rows) > 1 else f"{sum(rows)} tokens"
    layers = len({record.layer for record in trace.records} - {None})
    where = f" in {layers} layer{'' if layers == 1 else 's'}" if layers else ""
    facts = [*([prompts] if rows else []), f"{len(trace)} record{'' if len(trace) == 1 else 's'}{where}"]
    facts += [] if trace.complete else ["left before its end"]
    return f"<Trace{name}: {', '.join(facts)}>"


def trace_html(trace: Trace) -> str:
    """The line, the prompt, the notes, a table of the layers and what lies around them; foreign text escaped."""
    notes = "".join(f"<li>{_safe(note, 300)}</li>" for note in trace.run.notes[:8])
    texts = (token_label(token, 40) for token in _tokens(trace))
    prompt = " ".join(f"<code>{_safe(text)}</code>" for text in texts)
    head = "".join(f"<th>{name}</th>" for name in ("step", "site", "shape", "dtype", "L2", "min", "max"))
    body = "".join(_row(trace, record) for record in _shown(trace))
    return (
        f"<div><b>{_safe(trace_line(trace)[1:-1])}</b><div>{prompt}</div><ul>{notes}</ul>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _tokens(trace: Trace) -> tuple[Token, ...]:
    return trace.tokens[0][:_TOKENS] if trace.tokens else ()


def _shown(trace: Trace) -> Iterator[Record]:
    """The layers' own outputs and what lies outside of all; every record of a short trace."""
    main = [record for record in trace.records if record.layer is None or is_layer(record.site)]
    yield from (trace.records if len(trace.records) <= _ROWS else main)[:_ROWS]


def _row(trace: Trace, record: Record) -> str:
    statistics = trace.statistics(record)
    shape = "×".join(map(str, record.shape)) or "scalar"
    cells = (
        str(record.index),
        record.key,
        shape,
        record.dtype,
        *map(statistic, (statistics.l2, statistics.min, statistics.max)),
    )
    return f"<tr>{''.join(f'<td>{_safe(cell)}</td>' for cell in cells)}</tr>"


def _safe(text: str, limit: int = 400) -> str:
    return escape(visible(text, limit))
