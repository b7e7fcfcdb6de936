"""Where a run is taken up again, in words."""

from __future__ import annotations

from tracetui.recording.cut import Cut
from tracetui.recording.record import layer_of
from tracetui.recording.trace import Trace
from tracetui.text import count


def cut_line(cut: Cut, trace: Trace, at: int) -> str:
    """`again from layer 3, layers 0–2 from the record`, of a run that goes to the record `at`."""
    if cut.whole:
        return f"all of it again: {cut.whole}"
    layer = trace.records[at].layer
    begins = (
        f"from layer {layer}" if layer is not None else ("after the layers" if cut.layers else "from its beginning")
    )
    where = f"pass {cut.pass_}, " if cut.pass_ else ""
    known = [*(["the passes before"] if cut.pass_ else []), *_span(cut.layers)]
    return f"again {where}{begins}, {' and '.join(known)} from the record"


def taken_line(cut: Cut) -> str:
    """What a run that takes up another one has of it."""
    if cut.whole:
        return f"all of it was run again: {cut.whole}"
    known = " and ".join([*(["the passes before"] if cut.pass_ else []), *_span(cut.layers)])
    return f"{known} from the record: {count(cut.record)} records, {cut.seconds:.2f} s not run again"


def _span(layers: tuple[str, ...]) -> list[str]:
    indices = [index for path in layers if (index := layer_of(path)) is not None]
    if not indices:
        return []
    return [f"layers {indices[0]}–{indices[-1]}" if len(indices) > 1 else f"layer {indices[0]}"]
