"""The experts of one token in a table, and those of every token in short."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.style import Style

from tracetui.analysis.experts.block import Shared
from tracetui.analysis.experts.choice import Choice, TokenChoice, margins
from tracetui.analysis.experts.load import Load
from tracetui.analysis.experts.routing import BlockRouting, Missing
from tracetui.analysis.identity import Identity
from tracetui.views.cells import Line, fit, line
from tracetui.views.charts.bars import gauge
from tracetui.views.inks import Inks

CLOSE = 0.01
"""A margin below this share of the last chosen score is called close."""
_BAR = 10
_LEAST_BAR = 6
_LOGIT = 8
_NORM = 9

Part = tuple[str, Style]


@dataclass(frozen=True, eq=False, slots=True)
class Routed:
    """One block and one of its tokens, ready to be drawn."""

    routing: BlockRouting
    load: Load
    choice: TokenChoice
    shared: Shared | Missing | None
    """None where the block has no shared expert."""
    identity: Identity | Missing | None
    """None while it is being computed."""
    texts: tuple[str, ...]
    """[n]: each token's visible text; may be empty."""
    expert: int
    """Where the user is."""


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    width: int
    text: Callable[[Choice], str]
    rank: int
    """Which columns go first where there is no room for all: the highest."""


def figure(value: float | None) -> str:
    """A margin or a norm in at most eight characters; `–` for what is not recorded."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "-∞"}.get(value, "NaN")
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 100 else f"{value:.2g}"


def norm(value: float | None) -> str:
    """A norm in at most nine characters, with digits enough to tell those of alike experts apart."""
    if value is None or not math.isfinite(value):
        return figure(value)
    text = f"{value:.5g}"
    return text if len(text) <= _NORM else f"{value:.4g}"


def _known(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _columns(routed: Routed, width: int) -> list[_Column]:
    """What is recorded and has room, in the order in which it stands."""
    routing, choices = routed.routing, routed.choice.choices
    all_columns = [
        _Column("expert", 6, lambda choice: routing.name(choice.expert), 0),
        _Column("group", 5, lambda choice: str(choice.group), 5),
        _Column("weight", 7, lambda choice: _known(choice.weight, ".4f"), 0),
        _Column("logit", _LOGIT, lambda choice: _known(choice.logit, ".3f"), 7),
        _Column("score", 7, lambda choice: _known(choice.score, ".4f"), 2),
        _Column("bias", 7, lambda choice: _known(choice.bias, "+.4f"), 3),
        _Column("selection", 9, lambda choice: _known(choice.selection, ".4f"), 4),
        _Column("margin", 8, lambda choice: figure(choice.margin), 1),
        _Column("‖out‖", _NORM, lambda choice: norm(choice.norm_out), 6),
    ]
    absent = {
        "group": routing.groups < 2,
        "bias": routing.bias is None,
        "logit": routing.logits is None,
        "selection": routing.selection is None or routing.bias is None,
        "‖out‖": all(choice.norm_out is None for choice in choices),
    }
    columns = [column for column in all_columns if not absent.get(column.title, False)]
    while _spare(columns, width) < (_LEAST_BAR if _has_logit(columns) else 0) and len(columns) > 1:
        columns.remove(max(columns, key=lambda column: column.rank))
    return columns


def _has_logit(columns: list[_Column]) -> bool:
    """Whether dropping the logit can make room for a bar: the score says the same."""
    return any(column.title == "logit" for column in columns)


def _spare(columns: list[_Column], width: int) -> int:
    return width - 3 - sum(column.width + 1 for column in columns)


def choice_lines(routed: Routed, width: int, inks: Inks) -> list[Line]:
    """A header and one line for each expert the token chose, the largest weight first."""
    columns = _columns(routed, width)
    spare = _spare(columns, width)
    room = min(spare, _BAR) if spare >= _LEAST_BAR else 0
    full = max((abs(choice.weight or 0.0) for choice in routed.choice.choices), default=1.0) or 1.0
    heads: list[str] = []
    for column in columns:
        heads.append(fit(column.title, column.width, right=True))
        if room and column.title == "weight":
            heads.append(_bar_head(full, room))
    header = line([(f" {' '.join(heads)}", inks.quiet)], width)
    return [header, *(_row(choice, columns, room, full, routed, width, inks) for choice in routed.choice.choices)]


def _bar_head(full: float, room: int) -> str:
    """What the ends of a bar stand for, and how it goes between, as far as there is room: `0 linear  0.3187`."""
    forms = ((begin, end) for begin in ("0 linear", "0") for end in (f"{full:.4f}", f"{full:.2f}"))
    return next(
        (f"{begin:<{room - len(end)}}{end}" for begin, end in forms if len(begin) + len(end) + 1 <= room), " " * room
    )


def _row(
    choice: Choice, columns: list[_Column], room: int, full: float, routed: Routed, width: int, inks: Inks
) -> Line:
    here = choice.expert == routed.expert
    ground = inks.cursor if here else Style.null()
    strong = {"expert", "weight"}
    parts: list[Part] = [("▸" if here else " ", ground)]
    for column in columns:
        ink = (inks.text if column.title in strong else inks.quiet) + ground
        if column.title == "margin" and _is_close(choice):
            ink = inks.mark + ground
        parts.append((fit(column.text(choice), column.width, right=True), ink))
        parts.append((" ", ground))
        if room and column.title == "weight":
            parts += [*gauge(abs(choice.weight or 0.0) / full, room, inks), (" ", ground)]
    return _filled(parts, width, ground)


def _filled(parts: list[Part], width: int, ground: Style) -> Line:
    """The parts, and their ground to the end of the line."""
    return line([*parts, (" " * (width - sum(cell_len(text) for text, _ in parts)), ground)], width)


def _is_close(choice: Choice) -> bool:
    score = choice.selection if choice.selection is not None else choice.score
    return choice.margin is not None and bool(score) and choice.margin < CLOSE * abs(score or 0.0)


def token_lines(routed: Routed, width: int, height: int, inks: Inks) -> list[Line]:
    """A header and the tokens around the one looked at: margin, then every expert, the largest weight first."""
    count, room = len(routed.routing), height - 1
    first = max(0, min(routed.choice.token - room // 2, count - room))
    tokens = range(first, min(count, first + room))
    label = min(16, max(6, width // 5))
    left = width - (label + 19)
    detail = _told(routed.routing, tokens, left)
    head = f" {fit('token', label + 5)} {fit('margin', 9, right=True)}  {_HEADS[detail]}"
    rows = [_token_row(routed, token, label, detail, width, inks) for token in tokens]
    return [line([(head, inks.quiet)], width), *rows]


_HEADS = {"weights": "experts: weights", "experts": "experts by weight"}


def _told(routing: BlockRouting, tokens: range, room: int) -> str:
    """`weights` if the weights of every shown token fit, else `experts`."""
    if routing.weights is None:
        return "experts"
    longest = max((_taken(_names(routing, token, "weights")) for token in tokens), default=0)
    return "weights" if longest <= room else "experts"


def _names(routing: BlockRouting, token: int, detail: str) -> list[tuple[int, str]]:
    return [
        (
            expert,
            routing.name(expert) if weight is None or detail == "experts" else f"{routing.name(expert)}: {weight:.2f}",
        )
        for expert, weight in _ordered(routing, token)
    ]


def _taken(names: list[tuple[int, str]]) -> int:
    return sum(len(name) + 2 for _, name in names) - 2


def _token_row(routed: Routed, token: int, label: int, detail: str, width: int, inks: Inks) -> Line:
    routing = routed.routing
    ground = inks.cursor if token == routed.choice.token else Style.null()
    text = routed.texts[token] if routed.texts else ""
    parts: list[Part] = [
        (f" {routing.positions[token]:>4} ", inks.quiet + ground),
        (fit(text, label), inks.text + ground),
        (f"{_short_margin(routing, token)}  ", inks.quiet + ground),
    ]
    left = width - sum(cell_len(part) for part, _ in parts)
    names = _names(routing, token, detail)
    fitting, rest = _within(names, left)
    for expert, name in fitting:
        parts.append((name, (inks.mark if expert == routed.expert else inks.text) + ground))
        parts.append(("  ", ground))
    if rest:
        parts.append((f"+{rest}", inks.quiet + ground))
    return _filled(parts, width, ground)


def _within(names: list[tuple[int, str]], room: int) -> tuple[list[tuple[int, str]], int]:
    """The first names that have room, and how many more there are: that number has room beside them."""
    if _taken(names) <= room:
        return names, 0
    many = len(f"+{len(names)}")
    fitting = [name for place, name in enumerate(names) if _taken(names[: place + 1]) + 2 + many <= room]
    return fitting, len(names) - len(fitting)


def _short_margin(routing: BlockRouting, token: int) -> str:
    if routing.criterion is None:
        return fit("–", 10, right=True)
    margin = float(margins(routing.criterion[token][None], routing.experts[token][None]).min())
    return fit(figure(margin), 10, right=True)


def _ordered(routing: BlockRouting, token: int) -> list[tuple[int, float | None]]:
    """A token's experts with their weights, the largest first."""
    experts = routing.experts[token]  # [A]
    if routing.weights is None:
        return [(int(expert), None) for expert in experts]
    weights = routing.weights[token]  # [A]
    return [(int(experts[slot]), float(weights[slot])) for slot in np.argsort(-weights, kind="stable")]
