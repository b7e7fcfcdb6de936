"""Why sound inputs gave a NaN or an infinity, in words."""

from __future__ import annotations

from collections.abc import Sequence

from tracetui.analysis.health.nan_causes import Cause, HiddenRows, ScoresOverflow, ZeroRows
from tracetui.recording.health import LARGEST
from tracetui.text import number, visible

_LISTED = 4


def cause_line(cause: Cause) -> str:
    """`rows 0 and 1 of model.layers.0.self_attn:mask hide all 5 keys: a softmax over no key is NaN`."""
    match cause:
        case HiddenRows(mask, rows, keys):
            hide = "hides" if len(rows) == 1 else "hide"
            every = "the only key" if keys == 1 else f"all {keys:,} keys"
            return f"{_places(rows)} of {visible(mask.key, 200)} {hide} {every}: a softmax over no key is NaN"
        case ZeroRows(source, rows):
            are = "is" if len(rows) == 1 else "are"
            return f"{_rows(rows)} of {visible(source.key, 200)} {are} all zeros, and a norm divides by their size"
        case ScoresOverflow(dtype, reached):
            return f"q·k reaches {number(reached)}, beyond the largest {dtype}{_largest(dtype)}"


def _largest(dtype: str) -> str:
    return f", {number(LARGEST[dtype])}" if dtype in LARGEST else ""


def _places(rows: Sequence[tuple[int, int]]) -> str:
    """Query positions, with the prompt where it isn't the only one."""
    prompts = sorted({prompt for prompt, _ in rows})
    named = [_rows([query for prompt, query in rows if prompt == one]) for one in prompts]
    if prompts == [0]:
        return named[0]
    places = [f"{rows_of} of prompt {prompt}" for prompt, rows_of in zip(prompts, named, strict=True)]
    more = f" and of {len(places) - _LISTED} more prompts" if len(places) > _LISTED else ""
    return ", ".join(places[:_LISTED]) + more


def _rows(rows: Sequence[int]) -> str:
    """`row 3`, `rows 0 and 1`, `rows 0 to 7`, `rows 0, 2, 5 and 4 more`."""
    if len(rows) == 1:
        return f"row {rows[0]}"
    if len(rows) > 2 and rows[-1] - rows[0] == len(rows) - 1:
        return f"rows {rows[0]} to {rows[-1]}"
    if len(rows) > _LISTED:
        return f"rows {', '.join(map(str, rows[: _LISTED - 1]))} and {len(rows) - _LISTED + 1} more"
    return f"rows {', '.join(map(str, rows[:-1]))} and {rows[-1]}"
