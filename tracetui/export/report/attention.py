"""The report's attention: every layer's heads as small pictures, as many as a page can bear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tracetui.analysis.attention.heads import UnexplainedError
from tracetui.analysis.attention.scores import AttentionView, Matrix, attention_at
from tracetui.export.report.markup import Html, el, folds, join, more, section
from tracetui.export.report.tiles import (
    SHARES,
    SIDE,
    THUMB,
    Codes,
    legend_png,
    masked_png,
    shares_png,
    sheet_png,
    thumb,
)
from tracetui.recording.trace import Trace
from tracetui.recording.value import NotKeptError
from tracetui.views.heatmap.legend import spread
from tracetui.views.heatmap.scale import Scale

_PICTURES = 768
"""In all layers together."""
_CELLS = 1 << 28
"""Of all heads' matrices together: what takes some seconds to compute."""
_OPEN = 2
"""Layers that are unfolded at first."""
_SEVERAL, _FEW = 4, 20
"""Heads from which on all of them stand together; in a row, up to which each is drawn twice as large."""
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
    layers = [_LayerHeads(view, pictures // len(chosen)) for view in chosen]
    long = max(view.key.shape[2] for view in views) > SIDE
    peak = f" Of every block of this long prompt the greatest is shown, {SIDE}×{SIDE} in all." if long else ""
    row = " Row 0 of the batch." if len(trace.tokens) > 1 else ""
    lead = f"Probabilities of each head, queries from top to bottom, keys from left to right.{row}{peak}"
    left = more(len(views) - len(chosen), "layers")
    details = (layer.details(place < _OPEN) for place, layer in enumerate(layers))
    return section(
        "attention",
        "Attention",
        legend(SHARES, "1", "hidden by the mask"),
        _sheet(layers),
        folds(*details),
        left,
        lead=lead,
    )


def legend(scale: Scale, end: str, lowest: str) -> Html:
    """From 0 to `end`; what has no number is called `lowest`."""
    # Of the load the words beside it say more.
    bar = el("img", src=legend_png(), alt="from 0 to 1" if scale is SHARES else "", class_="heat")
    masked = el("img", src=masked_png(), alt="", class_="heat swatch")
    return el("div", "0", bar, f"{end}, {spread(scale)}", masked, lowest, class_="legend")


class _LayerHeads:
    """The heads of one layer that are shown, each as a picture and as a thumb; or why there are none."""

    def __init__(self, view: AttentionView, most: int) -> None:
        self.view = view
        self.name = view.site if view.query.layer is None else f"Layer {view.query.layer}"
        self.thumbs: list[Codes] = []
        self._heads = _spread(view.heads, most)
        self._shown = list(self._figures())

    def details(self, unfolded: bool) -> Html:
        """The layer's fold."""
        view = self.view
        shared = f", {view.kv_heads} of keys and values" if view.kv_heads != view.heads else ""
        facts = f"{view.heads} heads{shared}, scale {view.call.scale:.4g}"
        left = more(view.heads - len(self._heads), "heads")
        inner = join(el("div", *self._shown, class_="heads"), left)
        state = {"open": "open"} if unfolded else {}
        return el("details", el("summary", self.name, el("span", facts, class_="quiet")), inner, **state)

    def _figures(self) -> Iterator[Html]:
        view = self.view
        if view.query.shape[2] * view.key.shape[2] > _LARGEST:
            yield el("p", "too long a prompt for pictures", class_="quiet")
            return
        for head in self._heads:
            try:
                probabilities = _probabilities(view, head)
            except UnexplainedError as error:
                yield el("p", f"not shown: {error.reason}", class_="quiet")
                return
            except NotKeptError:
                yield el("p", "only statistics of q and k were kept", class_="quiet")
                return
            self.thumbs.append(thumb(probabilities))
            caption = f"head {head}" + (f" · kv {view.kv_head(head)}" if view.kv_heads != view.heads else "")
            about = f"attention of {self.name[:1].lower()}{self.name[1:]}, head {head}"
            picture = el("img", src=shares_png(probabilities), alt=about, class_="heat", loading="lazy")
            yield el("details", el("summary", picture, el("span", caption)), class_="head")


def _sheet(layers: Sequence[_LayerHeads]) -> Html:
    """All heads on one picture, a row for each layer: what stands out is found before anything is unfolded."""
    drawn = [layer for layer in layers if layer.thumbs]
    columns = max((len(layer.thumbs) for layer in drawn), default=0)
    if columns * len(drawn) < _SEVERAL:
        return Html("")
    about = f"all heads: {_range([layer.name for layer in drawn])} downwards, heads from left to right"
    width = f"width:{columns * (THUMB + 1) * (2 if columns <= _FEW else 1)}px"
    source = sheet_png([layer.thumbs for layer in drawn])
    picture = el("img", src=source, alt=about, class_="heat sheet", style=width)
    hint = " A picture below opens in full where it is clicked."
    return el("figure", picture, el("figcaption", f"{about[:1].upper()}{about[1:]}.{hint}"))


def _range(names: Sequence[str]) -> str:
    return names[0].lower() if len(names) == 1 else f"{names[0].lower()} to {names[-1].lower()}"


def _spread(count: int, most: int) -> list[int]:
    """At most so many of the numbers below `count`, at even distances, the last among them."""
    places: list[int] = np.linspace(count - 1, 0, min(most, count)).round().astype(int)[::-1].tolist()
    return places


def _probabilities(view: AttentionView, head: int) -> Matrix:
    """[T,S], -inf where the mask hides a key."""
    probabilities, hidden = view.plane("probs", head)
    return np.where(hidden, np.float32(-np.inf), probabilities)
