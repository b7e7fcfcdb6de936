"""One block's routing in lines: its load, its sum, one token's experts in a table, and every token's in short."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.style import Style

from tracetui.analysis.expert_choice import TokenChoice
from tracetui.analysis.moe_block import Shared
from tracetui.analysis.routing import Missing
from tracetui.views.bars import percent
from tracetui.views.cells import Line, blank, fit, line
from tracetui.views.expert_table import CLOSE, Routed, choice_lines, figure, token_lines
from tracetui.views.inks import Inks

_ALL_TOKENS = 4
"""Lines below which a list of all tokens isn't worth its header."""
_LEAST_TEXT = 8
"""Cells of a token's text that go before the words around a number."""


def lines_wanted(active: int) -> int:
    """Lines for everything about one token that chose so many experts."""
    return active + 9


def routed_lines(routed: Routed, width: int, height: int, inks: Inks) -> list[Line]:
    """`height` lines of `width` cells: the token's table before all else, then what there is room for."""
    token = [_token(routed, width, inks), _around(routed, width, inks)]
    table = choice_lines(routed, width, inks)
    block = [_load(routed, width, inks), _identity(routed, width, inks)]
    spare = height - len(token) - len(table) - len(block)
    if spare < 2 and not _is_chosen(routed):
        block[0] = _expert(routed, width, inks)
    if spare >= 2:
        block = [_block(routed, width, inks), *block]
        token = [_expert(routed, width, inks), *token]
        spare -= 2
    gap = [blank(width)] if spare >= 2 else []
    lines = [*block, *gap, *token, *gap, *table]
    rest = height - len(lines) - 1
    if rest >= _ALL_TOKENS:
        lines += [blank(width), *token_lines(routed, width, rest, inks)]
    return _cut(lines, len(block) + len(token), routed, height)


def _is_chosen(routed: Routed) -> bool:
    return any(choice.expert == routed.expert for choice in routed.choice.choices)


def _cut(lines: list[Line], head: int, routed: Routed, height: int) -> list[Line]:
    """What fits: where the table doesn't, the part around the expert where the user is."""
    if len(lines) <= height:
        return lines
    rows = len(routed.choice.choices)
    above, table = lines[: head + 1], lines[head + 1 : head + 1 + rows]
    room = max(1, height - len(above))
    at = next((place for place, each in enumerate(routed.choice.choices) if each.expert == routed.expert), 0)
    first = max(0, min(at - room // 2, rows - room))
    return [*above, *table[first : first + room]][:height]


def _block(routed: Routed, width: int, inks: Inks) -> Line:
    routing = routed.routing
    told = f"  {routing.active} of {routing.count} experts a token"
    if routing.groups > 1:
        told += f", from {routing.groups_kept} of {routing.groups} groups"
    site = f" {routing.site}"
    parts = [(site, inks.text + Style(bold=True)), (told, inks.quiet)]
    return line(parts if len(site) + len(told) <= width else [(told[1:], inks.quiet)], width)


def _load(routed: Routed, width: int, inks: Inks) -> Line:
    """`load  entropy 3.71 of 4 bits · 2 dead · Gini 0.31 · most 12 (9.1%), 3 (8.0%)`."""
    load = routed.load
    bits = (f"{load.entropy:.2f}{between}{load.most_entropy:.3g} bits" for between in (" of ", "/"))
    texts = [f" load entropy {each} · {len(load.dead)} dead · Gini {load.gini:.2f}" for each in bits]
    text = _fitting(texts, width)
    most = [f"{expert} ({load.shares[expert]:.1%})" for expert in load.busiest(5)]
    room = width - len(text) - len(" · most ")
    shown = [one for place, one in enumerate(most) if len(", ".join(most[: place + 1])) <= room]
    return line([(text, inks.quiet), (f" · most {', '.join(shown)}" if shown else "", inks.text)], width)


def _identity(routed: Routed, width: int, inks: Inks) -> Line:
    found = routed.identity
    shared = "" if routed.shared is None else " + shared"
    named = f" weighted sum{shared} = output: "
    if found is None:
        return line([(f"{named}…", inks.quiet)], width)
    if isinstance(found, Missing):
        return line([(f" sum not checked: {found.why}", inks.quiet)], width)
    told = f"max |Δ| {found.difference:.1e}"
    if found.holds:
        return line([(f"{named}{told}", inks.quiet)], width)
    return line([(" BROKEN ", inks.nan), (f"{named}{told}, rounding allows {found.tolerance:.1e}", inks.text)], width)


def _token(routed: Routed, width: int, inks: Inks) -> Line:
    """`token 5 “·life”  margin 0.0021 (0.4%, close) to expert 44`, in a narrow pane without its end."""
    choice, strong = routed.choice, inks.text + Style(bold=True)
    named = f" token {choice.position}"
    text = routed.texts[choice.token] if routed.texts else ""
    told, catches, to = _margin(routed)
    least = cell_len(named) + len(told) + min(cell_len(text), _LEAST_TEXT) + 5
    to = next((shown for shown in (to, to.replace("expert ", ""), "") if least + len(shown) <= width), "")
    room = width - cell_len(named) - len(told) - len(to) - 5
    quoted = f" “{fit(text, min(cell_len(text), room))}”" if text and room >= 1 else ""
    parts = [
        (named + quoted, strong),
        ("  ", inks.quiet),
        (told, inks.mark if catches else inks.quiet),
        (to, inks.quiet),
    ]
    return line(parts, width)


def _margin(routed: Routed) -> tuple[str, bool, str]:
    """How far the last chosen expert was from not being chosen, whether that must catch the eye, and over which."""
    choice = routed.choice
    if choice.margin is None:
        scored = routed.routing.scores is not None or routed.routing.logits is not None
        return f"margin unknown: {'the scores alone don’t decide' if scored else 'no scores recorded'}", False, ""
    if choice.runner_up is None:
        return "no other expert could be chosen", False, ""
    if choice.margin == 0:
        return "a tie", True, f" with expert {choice.runner_up}"
    to, told = f" to expert {choice.runner_up}", f"margin {figure(choice.margin)}"
    share = relative_margin(choice)
    if share is None or not math.isfinite(share):
        return told, choice.margin < 0, to
    close = share < CLOSE
    return f"{told} ({share:.1%}{', close' if close else ''})", close, to


def relative_margin(choice: TokenChoice) -> float | None:
    """The margin against the score of the expert that was chosen last; None where there is no such score."""
    if choice.margin is None or choice.runner_up_selection is None:
        return None
    last = abs(choice.runner_up_selection + choice.margin)
    return choice.margin / last if last else None


def _around(routed: Routed, width: int, inks: Inks) -> Line:
    """The groups the token chose from, and what the shared expert gave it."""
    shared = _shared(routed.shared)
    return line([(_fitting([f" {groups}{shared}" for groups in _groups(routed)], width), inks.quiet)], width)


def _groups(routed: Routed) -> list[str]:
    """Which groups the token chose from, in full and in short; empty where experts stand in none."""
    routing, masked = routed.routing, routed.choice.masked
    if routing.groups < 2:
        return [""]
    if routing.selection is None:
        return ["masked groups unknown · ", ""]
    kept = _listed([group for group in range(routing.groups) if group not in masked])
    short = f"groups {kept} of {routing.groups} · "
    return [f"groups {kept}, masked {_listed(masked)} · ", short] if masked else [short]


def _fitting(texts: Sequence[str], width: int) -> str:
    """The first text that has room, or the last."""
    return next((text for text in texts if cell_len(text) <= width), texts[-1])


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


def _shared(shared: Shared | Missing | None) -> str:
    if shared is None:
        return "no shared expert"
    if isinstance(shared, Missing):
        return f"shared {shared.why}"
    told = f"shared {figure(shared.norm)}" if shared.share is None else f"shared {shared.share:.0%} of ‖out‖"
    return told if shared.gate is None else f"{told}, gate {shared.gate:.3f}"


def _expert(routed: Routed, width: int, inks: Inks) -> Line:
    """The expert where the user is: how often it was chosen, and what this token thought of it."""
    expert, load = routed.expert, routed.load
    count = int(load.counts[expert]) if expert < len(load.counts) else 0
    total = int(load.counts.sum())
    told = f"  {count} of {total} choices ({percent(count / max(1, total))})" if count else "  chosen by no token"
    parts = [(f" expert {expert}", inks.text + Style(bold=True)), (told, inks.quiet)]
    if why := _passed_over(routed):
        parts.append((f" · {why}", inks.quiet))
    return line(parts, width)


def _passed_over(routed: Routed) -> str:
    """By how much an expert missed being chosen by the token; empty if it was chosen, or nothing tells."""
    criterion, choice = routed.routing.criterion, routed.choice
    if criterion is None or routed.expert >= routed.routing.count:
        return ""
    if _is_chosen(routed):
        return ""
    score = float(criterion[choice.token, routed.expert])
    if math.isinf(score):
        return f"not by token {choice.position}: its group is masked"
    last = min(float(criterion[choice.token, each.expert]) for each in choice.choices)
    return f"missed by token {choice.position} by {figure(last - score)}"
