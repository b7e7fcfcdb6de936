"""One block's routing in lines: its load, its sum, one token's experts in a table, and every token's in short."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.style import Style

from tracetui.analysis.experts.block import Shared
from tracetui.analysis.experts.choice import TokenChoice
from tracetui.analysis.experts.routing import Missing
from tracetui.views.cells import Line, blank, fit, line
from tracetui.views.charts.bars import percent
from tracetui.views.experts.table import CLOSE, Routed, choice_lines, figure, norm, token_lines
from tracetui.views.inks import Inks
from tracetui.views.parts import fitted, part
from tracetui.views.verdict import verdict_parts

_ALL_TOKENS = 4
"""Lines below which a list of all tokens isn't worth its header."""


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
    counts = f"{routing.active} of {routing.count} experts a token"
    groups = f", from {routing.groups_kept} of {routing.groups} groups" if routing.groups > 1 else ""
    rows = len(set(routing.prompts.tolist()))
    texts = fitted(
        [
            part(f" {routing.site}  ", " ", "", rank=2),
            part(counts),
            part(groups, groups.replace("from ", ""), "", rank=1),
            part(f" · all {rows} rows" if rows > 1 else ""),
        ],
        width,
    )
    return line([(texts[0], inks.text + Style(bold=True)), ("".join(texts[1:]), inks.quiet)], width)


def _load(routed: Routed, width: int, inks: Inks) -> Line:
    """`load  entropy 3.71 of 4 bits · 2 dead · Gini 0.31 · most 12 (9.1%), 3 (8.0%)`."""
    load = routed.load
    rows = len(set(routed.routing.prompts.tolist()))
    most = [f"{expert} ({load.shares[expert]:.1%})" for expert in load.busiest(5)]
    named = [f" · most {', '.join(most[:count])}" for count in range(len(most), 0, -1)]
    texts = fitted(
        [
            part(" load of all rows" if rows > 1 else " load", " all rows" if rows > 1 else " load", rank=2),
            part(" entropy ", " H ", rank=1),
            part(f"{load.entropy:.2f} of {load.most_entropy:.3g} bits", f"{load.entropy:.2f}/{load.most_entropy:.3g}"),
            part(f" · {_spread(routed)}", "", rank=3),
            part(f" · Gini {load.gini:.2f}", "", rank=4),
            part(*named, "", rank=5),
        ],
        width,
    )
    return line([("".join(texts[:-1]), inks.quiet), (texts[-1], inks.text)], width)


def _spread(routed: Routed) -> str:
    """How many experts no token chose; with fewer choices than experts, how many of those possible were hit."""
    load = routed.load
    if load.attainable < len(load.counts):
        return f"{len(load.counts) - len(load.dead)} of at most {load.attainable} hit"
    return f"{len(load.dead)} dead"


def _identity(routed: Routed, width: int, inks: Inks) -> Line:
    identity = routed.identity
    named = f"weighted sum{'' if routed.shared is None else ' + shared'} = output"
    if identity is None:
        return line([(f" … {named}", inks.quiet)], width)
    if isinstance(identity, Missing):
        return line([(f" sum not checked: {identity.why}", inks.quiet)], width)
    text = "".join(fitted(verdict_parts((named, "sum = output", "sum"), identity), width))
    return line([(text, inks.quiet if identity.holds else inks.nan)], width)


def _token(routed: Routed, width: int, inks: Inks) -> Line:
    """`token 5 “·life”  margin 0.0021 (0.4%, close: under 1%) to expert 44`; its text goes before the numbers do."""
    choice, strong = routed.choice, inks.text + Style(bold=True)
    text = routed.texts[choice.token] if routed.texts else ""
    margin, share, catches, to = _margin(routed)
    texts = fitted(
        [
            part(f" token {choice.position}"),
            part(*_quotes(text), rank=4),
            part("  "),
            part(*margin, rank=2),
            part(*share, rank=1),
            part(*_ends(catches and any(share)), rank=5),
            part(*to, rank=3),
        ],
        width,
    )
    if not any(texts):
        return line([(f" token {choice.position}", strong)], width)
    parts = [
        ("".join(texts[:2]), strong),
        (texts[2], inks.quiet),
        ("".join(texts[3:6]), inks.mark if catches else inks.quiet),
        (texts[6], inks.quiet),
    ]
    return line(parts, width)


def _ends(close: bool) -> tuple[str, ...]:
    """What `close` means, where it is said."""
    return (f": under {CLOSE:.0%})", ")") if close else ("",)


def _quotes(text: str) -> tuple[str, ...]:
    """A token's text in quotes, in all its lengths; the last is none."""
    return (
        (*(f" “{fit(text, cells)}”" for cells in range(cell_len(text), min(cell_len(text), 2) - 1, -1)), "")
        if text
        else ("",)
    )


def _margin(routed: Routed) -> tuple[tuple[str, ...], tuple[str, ...], bool, tuple[str, ...]]:
    """How far the last chosen expert was from not being chosen, its share, whether it must catch the eye, over which.

    Each in all its forms.
    """
    choice, nothing = routed.choice, ("",)
    if choice.margin is None:
        scored = routed.routing.scores is not None or routed.routing.logits is not None
        why = f": {'the scores alone don’t decide' if scored else 'no scores recorded'}"
        return (f"margin unknown{why}", "margin unknown"), nothing, False, nothing
    if choice.runner_up is None:
        return ("no other expert could be chosen", "no other choice", ""), nothing, False, nothing
    if choice.margin == 0:
        return ("a tie",), nothing, True, (f" with expert {choice.runner_up}", f" with {choice.runner_up}")
    to = f" to expert {choice.runner_up}", f" to {choice.runner_up}"
    margin, share = (f"margin {figure(choice.margin)}", figure(choice.margin)), relative_margin(choice)
    if share is None or not math.isfinite(share):
        return margin, nothing, choice.margin < 0, to
    if share < CLOSE:
        return margin, (f" ({share:.1%}, close", " (close"), True, to
    return margin, (f" ({share:.1%})", ""), False, to


def relative_margin(choice: TokenChoice) -> float | None:
    """The margin against the score of the expert that was chosen last; None where there is no such score."""
    if choice.margin is None or choice.runner_up_selection is None:
        return None
    last = abs(choice.runner_up_selection + choice.margin)
    return choice.margin / last if last else None


def _around(routed: Routed, width: int, inks: Inks) -> Line:
    """The groups the token chose from and how close that was, what the shared expert gave, what the experts got."""
    norm_in = next((choice.norm_in for choice in routed.choice.choices if choice.norm_in is not None), None)
    texts = fitted(
        [
            part(" "),
            part(*_groups(routed), rank=3),
            part(*_group_margin(routed), rank=2),
            part(*_shared(routed.shared), rank=1),
            part("" if norm_in is None else f" · ‖in‖ {norm(norm_in)}", "", rank=4),
        ],
        width,
    )
    return line([("".join(texts), inks.quiet)], width)


def _group_margin(routed: Routed) -> tuple[str, ...]:
    """By how much the last group was chosen before the first that was not, in full and in short."""
    close = routed.choice.groups
    if close is None:
        return ("",)
    text = f"group {close.last} before {close.next} by {figure(close.margin)} · "
    return text, f"{close.last} before {close.next} by {figure(close.margin)} · ", ""


def _groups(routed: Routed) -> list[str]:
    """Which groups the token chose from, in full and in short; empty where experts stand in none."""
    routing, masked = routed.routing, routed.choice.masked
    if routing.groups < 2:
        return [""]
    if routing.selection is None:
        return ["masked groups unknown · ", ""]
    kept = _listed([group for group in range(routing.groups) if group not in masked])
    short = f"groups {kept} of {routing.groups} · "
    return [f"groups {kept}, masked {_listed(masked)} · ", short, ""] if masked else [short, ""]


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


def _shared(shared: Shared | Missing | None) -> tuple[str, ...]:
    """What the shared expert gave, in all its forms."""
    if shared is None:
        return "no shared expert", ""
    if isinstance(shared, Missing):
        return f"shared {shared.why}", "shared unknown", ""
    text = f"shared {figure(shared.norm)}" if shared.share is None else f"shared {shared.share:.0%} of ‖out‖"
    short = text.removesuffix(" of ‖out‖")
    return (text, short, "") if shared.gate is None else (f"{text}, gate {shared.gate:.3f}", text, short, "")


def _expert(routed: Routed, width: int, inks: Inks) -> Line:
    """The expert where the user is: how often it was chosen, and what this token thought of it."""
    expert, load = routed.expert, routed.load
    count = int(load.counts[expert]) if expert < len(load.counts) else 0
    total = int(load.counts.sum())
    share = f" ({percent(count / max(1, total))})"
    why = _passed_over(routed)
    texts = fitted(
        [
            part(f" expert {expert}"),
            part(f"  {count} of {total} choices" if count else "  chosen by no token", ""),
            part(share if count else "", "", rank=1),
            part(f" · {why}" if why else "", "", rank=2),
        ],
        width,
    )
    return line([(texts[0], inks.text + Style(bold=True)), ("".join(texts[1:]), inks.quiet)], width)


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
