"""The report's experts: how their load spreads over the layers, and what each token chose."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.experts.choice import margins
from tracetui.analysis.experts.load import LayerLoad, Loads, extended, load_matrix
from tracetui.analysis.experts.routing import BlockRouting, read_routing
from tracetui.errors import RunError
from tracetui.export.report.attention import legend
from tracetui.export.report.markup import Html, el, folds, join, more, row, section, table
from tracetui.export.report.tiles import shares_png
from tracetui.recording.trace import Trace
from tracetui.text import number
from tracetui.views.experts.load_scale import load_scale
from tracetui.views.tokens import token_in

_CHOICES = 12_000
"""Chosen experts that are shown in all."""
_TOKENS = 48
_LAYERS = 400
_BUSIEST = 6
_SIDE = 1024


def routing_part(trace: Trace) -> Html:
    """Load and choices of the prompt's pass; nothing where there are no experts."""
    blocks = extended(Loads(trace, 0), trace, len(trace.records)).of_pass()[:_LAYERS]
    if not blocks:
        return Html("")
    heads = ("layer", "experts", "<busiest", "chosen by none", "entropy", "of")
    loads = table(heads, [_load_row(block) for block in blocks])
    lead = "How often each expert was chosen (layers downwards, experts across), and by which tokens."
    chosen = [_choices(trace, block, len(blocks)) for block in blocks]
    return section("experts", "Experts", _picture(blocks), loads, el("h3", "Choices"), folds(*chosen), lead=lead)


def _picture(blocks: list[LayerLoad]) -> Html:
    first, shares = load_matrix(blocks)
    scale = load_scale(shares)
    shown = np.where(np.isnan(shares), -np.inf, shares)
    height = f"height:{min(20 * len(shares), 420)}px"
    picture = el(
        "img", src=shares_png(shown, _SIDE, scale), alt="load of experts by layer", class_="heat", style=height
    )
    told = f"layers {first} to {first + len(shares) - 1}, experts 0 to {shares.shape[1] - 1}"
    shown_scale = legend(scale, f"{scale.high:.2%} of a layer's choices", "no experts")
    return join(shown_scale, el("div", picture, class_="load"), el("p", told, class_="quiet"))


def _load_row(block: LayerLoad) -> Html:
    if block.load is None:
        return row(str(block.record.layer), "can't be read", "", "", "", "")
    load = block.load
    busiest = ", ".join(f"{expert} ({load.shares[expert]:.1%})" for expert in load.busiest(_BUSIEST))
    dead = f"{len(load.dead):,}"
    bits = f"{load.entropy:.2f} bits"
    shown = el("td", busiest, class_="left")
    return row(str(block.record.layer), f"{len(load.counts):,}", shown, dead, bits, f"{load.most_entropy:.2f}")


def _choices(trace: Trace, block: LayerLoad, layers: int) -> Html:
    summary = el("summary", f"Layer {block.record.layer}", el("span", block.record.module, class_="quiet mono"))
    try:
        routing = read_routing(trace, block.record)
    except RunError as error:
        return el("details", summary, el("p", str(error), class_="quiet"))
    room = max(2, min(_TOKENS, _CHOICES // (layers * max(1, routing.active))))
    rows = [_choice_row(trace, routing, place) for place in range(min(room, len(routing)))]
    heads = ("token", "<experts and their weights", "margin of the last")
    return el("details", summary, table(heads, rows), more(len(routing) - len(rows), "tokens"))


def _choice_row(trace: Trace, routing: BlockRouting, place: int) -> Html:
    prompt, position = int(routing.prompts[place]), int(routing.positions[place])
    tokens = trace.tokens[prompt] if prompt < len(trace.tokens) else ()
    name = token_in(tokens, position)
    where = f"row {prompt}, {name}" if len(trace.tokens) > 1 else name
    chips = (_chip(routing, place, slot) for slot in range(routing.active))
    return row(el("td", where, class_="left"), el("td", *chips, class_="left"), _margin(routing, place))


def _chip(routing: BlockRouting, place: int, slot: int) -> Html:
    weight = "" if routing.weights is None else f" × {float(routing.weights[place, slot]):.3g}"
    return el("span", f"{int(routing.experts[place, slot])}{weight}", class_="chip")


def _margin(routing: BlockRouting, place: int) -> str:
    criterion = routing.criterion
    if criterion is None:
        return "–"
    one = slice(place, place + 1)
    return number(float(margins(criterion[one], routing.experts[one]).min()))
