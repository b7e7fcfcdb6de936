"""Tables of a user's map that name nothing: a map that does nothing must not look like one that helps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracetui.analysis.diff.alignment.align import Alignment
from tracetui.analysis.mapping.rules import Rule, Rules
from tracetui.recording.trace import Trace
from tracetui.text import visible

_NAMED = 3


def unfit(rules: Rules, alignment: Alignment, a: Trace, b: Trace) -> tuple[str, ...]:
    """What is wrong with the tables that fit no tensor, each kind in a sentence of its own."""
    keys_a, keys_b = ([record.key for record in trace.records] for trace in (a, b))
    strange = [rule for rule in rules.rules if not _fits(rule, keys_b)]
    turned = [rule for rule in strange if _fits(rule, keys_a)]
    mapped = [pair.b.record.key for pair in alignment.pairs if pair.b.by_rule]
    alone = [rule for rule in rules.rules if rule not in strange and not _fits(rule, mapped)]
    said = {
        "b is the name of a tensor of B's, and A has those: the tables' a and b are the other way round": turned,
        "no tensor of B's has such a name": [rule for rule in strange if rule not in turned],
    }
    sentences = [f"{_names(rule.name for rule in found)}: {words}" for words, found in said.items() if found]
    if alone:
        sentences.append(f"{_names(name for rule in alone for name in rule.a)}: no tensor of A's has such a name")
    return tuple(sentences)


def _fits(rule: Rule, keys: Iterable[str]) -> bool:
    return any(rule.b.fullmatch(key) for key in keys)


def _names(names: Iterable[str]) -> str:
    listed: Sequence[str] = list(dict.fromkeys(names))
    more = f" and {len(listed) - _NAMED:,} more" if len(listed) > _NAMED else ""
    return ", ".join(visible(name, 80) for name in listed[:_NAMED]) + more
