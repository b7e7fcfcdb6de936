"""The report's attention: every layer's heads as small pictures, as many as a page can bear."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tracetui.analysis.attention.heads import UnexplainedError
from tracetui.analysis.attention.scores import AttentionView, Matrix, attention_at
from tracetui.export.report.markup import Html, el, folds, join, more, section
from tracetui.export.report.tiles import SIDE, legend_png, masked_png, shares_png
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError

_PICTURES = 768
"""In all layers together."""
_CELLS = 1 << 28
"""Of all heads' matrices together: what takes some seconds to compute."""
_OPEN = 2
"""Layers that are unfolded at first."""
_LARGEST = 1 << 25
"""Cells of a head's matrix beyond which none is computed: 128 MiB of float32, of which some are needed at once."""


def attention_part(trace: Trace) -> Html:
    """The probabilities of every head of the prompt's pass; nothing where there is no attention."""
    queries = [record for record in trace.records if record.role == "q" and record.pass_ == 0]
    views = [view for record in queries if (view := attention_at(trace, record))]
    if not views:
        return Html("")
    longest = max(view.query.shape[2] * view.key.shape[2] for view in views)
    pictures = min(_PICTURES, max(1, _CELLS // max(1, longest)))
    chosen = [views[place] for place in _spread(len(views), pictures)]
    layers = (_layer(view, pictures // len(chosen), place < _OPEN) for place, view in enumerate(chosen))
    long = max(view.key.shape[2] for view in views) > SIDE
    peak = f" Of every block of this long prompt the greatest is shown, {SIDE}×{SIDE} in all." if long else ""
    row = " Row 0 of the batch." if len(trace.tokens) > 1 else ""
    lead = f"Probabilities of each head, queries from top to bottom, keys from left to right.{row}{peak}"
    left = more(len(views) - len(chosen), "layers")
    return section("attention", "Attention", legend(), folds(*layers), left, lead=lead)


def legend() -> Html:
    bar = el("img", src=legend_png(), alt="from 0 to 1", class_="heat")
    masked = el("img", src=masked_png(), alt="", class_="heat swatch")
    return el("div", "0", bar, "1, by its square root", masked, "hidden by the mask", class_="legend")


def _layer(view: AttentionView, each: int, unfolded: bool) -> Html:
    name = view.site if view.query.layer is None else f"Layer {view.query.layer}"
    shared = f", {view.kv_heads} of keys and values" if view.kv_heads != view.heads else ""
    facts = f"{view.heads} heads{shared}, scale {view.call.scale:.4g}"
    summary = el("summary", name, el("span", facts, class_="quiet"))
    chosen = _spread(view.heads, each)
    inner = join(el("div", *_heads(view, chosen), class_="heads"), more(view.heads - len(chosen), "heads"))
    state = {"open": "open"} if unfolded else {}
    return el("details", summary, inner, **state)


def _spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers below `count`, at even distances, the last among them."""
    places: list[int] = np.linspace(count - 1, 0, min(most, count)).round().astype(int)[::-1].tolist()
    return places


def _heads(view: AttentionView, chosen: list[int]) -> Iterator[Html]:
    if view.query.shape[2] * view.key.shape[2] > _LARGEST:
        yield el("p", "too long a prompt for pictures", class_="quiet")
        return
    for head in chosen:
        try:
            source = shares_png(_probabilities(view, head))
        except UnexplainedError as error:
            yield el("p", f"not shown: {error.reason}", class_="quiet")
            return
        except NotKeptError:
            yield el("p", "only statistics of q and k were kept", class_="quiet")
            return
        caption = f"head {head}" + (f" · kv {view.kv_head(head)}" if view.kv_heads != view.heads else "")
        picture = el("img", src=source, alt=f"attention of head {head}", class_="heat", loading="lazy")
        yield el("figure", picture, el("figcaption", caption))


def _probabilities(view: AttentionView, head: int) -> Matrix:
    """[T,S], -inf where the mask hides a key."""
    probabilities, hidden = view.plane("probs", head)
    return np.where(hidden, np.float32(-np.inf), probabilities)
