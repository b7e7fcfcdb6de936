"""Whether what an expression names is there: sites, heads, experts, tokens and passes, as far as they are known."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tracetui.expr.edit import Edit
from tracetui.expr.errors import BadExpressionError
from tracetui.expr.known_sites import NOTHING_KNOWN, ExpertBlock
from tracetui.expr.parse import Expression, constant
from tracetui.expr.stop import Stop
from tracetui.recording.keep import Keep

if TYPE_CHECKING:
    from tracetui.expr.watch import Watch

_HEADS_OF_KEYS = frozenset({"k", "v"})


class Sites(Protocol):
    """Whoever knows which sites there are."""

    def problem(self, pattern: str) -> str:
        """Why no record can be at a pattern of sites; empty if one can."""

    def expert_blocks(self, pattern: str) -> Iterable[ExpertBlock]:
        """The blocks with experts that a pattern names, as far as they are known."""


@dataclass(frozen=True, eq=False, slots=True)
class ModelFacts:
    """What is known of a model and of the run that is asked for; 0 where a number isn't."""

    sites: Sites = NOTHING_KNOWN
    heads: int = 0
    """Attention heads, counted in queries."""
    kv_heads: int = 0
    experts: int = 0
    tokens: int = 0
    """Of the longest prompt."""
    passes: int = 0
    """How many the run has at most."""
    longer: str = ""
    """How a run gets more passes, in words, with `{}` for the number of tokens."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """What isn't there, and the word that asks for it."""

    word: str
    text: str


NO_FACTS = ModelFacts()


def check_stop(text: str, stop: Stop, facts: ModelFacts, where: str = "") -> None:
    """Refuse a stop, typed as `text`, that can't hold anywhere. Raises BadExpressionError."""
    _refuse(text, where, _of_stop(stop, facts))


def check_watch(text: str, watch: Watch, facts: ModelFacts, where: str = "") -> None:
    """Refuse a watch of what isn't there. Raises BadExpressionError."""
    problem = facts.sites.problem(watch.site)
    _refuse(text, where, _Problem(watch.site, problem) if problem else _of_calls(watch.expression, watch.site, facts))


def check_edit(text: str, edit: Edit, facts: ModelFacts, where: str = "") -> None:
    """Refuse an edit of what isn't there. Raises BadExpressionError."""
    _refuse(text, where, _of_edit(edit, facts))


def check_site(text: str, site: str, facts: ModelFacts, where: str = "") -> None:
    """Refuse a pattern of sites that no record can be at. Raises BadExpressionError."""
    if problem := facts.sites.problem(site):
        raise BadExpressionError(text, max(0, text.find(site)), problem, where)


def check_keep(keep: Keep, facts: ModelFacts, where: str) -> None:
    """Refuse patterns of values to keep that no record can be at. Raises BadExpressionError."""
    for pattern in keep.patterns:
        check_site(pattern.text, pattern.text, facts, where)


def check_all(
    stops: Iterable[Stop], edits: Iterable[Edit], keep: Keep, facts: ModelFacts, names: tuple[str, str, str]
) -> None:
    """Refuse what of a run's options isn't there. names: of the three. Raises BadExpressionError."""
    for stop in stops:
        check_stop(stop.text, stop, facts, names[0])
    for edit in edits:
        check_edit(edit.text, edit, facts, names[1])
    check_keep(keep, facts, names[2])


def _refuse(text: str, where: str, problem: _Problem | None) -> None:
    if problem is not None:
        raise BadExpressionError(text, max(0, text.find(problem.word)), problem.text, where)


def _of_stop(stop: Stop, facts: ModelFacts) -> _Problem | None:
    pattern = stop.pattern.text
    if not stop.everywhere and (problem := facts.sites.problem(pattern)):
        return _Problem(pattern, problem)
    return None if stop.condition is None else _of_calls(stop.condition, pattern, facts)


def _of_calls(expression: Expression, pattern: str, facts: ModelFacts) -> _Problem | None:
    """What an expression asks of a head or an expert that isn't there."""
    for node in ast.walk(expression.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            number = constant(argument)
            if number is None:
                continue
            problem = ""
            if name == "entropy":
                problem = _no_head(int(number), facts.heads)
            elif name in ("expert", "load"):
                problem = _no_expert(int(number), pattern, facts)
            if problem:
                return _Problem(f"{name}(", problem)
    return None


def _of_edit(edit: Edit, facts: ModelFacts) -> _Problem | None:
    pattern = edit.pattern.text
    if problem := facts.sites.problem(pattern):
        return _Problem(pattern, problem)
    if edit.head is not None:
        of_keys = pattern.partition(":")[2] in _HEADS_OF_KEYS
        if problem := _no_head(edit.head, facts.kv_heads if of_keys else facts.heads, "kv head" if of_keys else "head"):
            return _Problem(f"head {edit.head}", problem)
    for expert in edit.action.experts if edit.expert is None else (edit.expert,):
        if problem := _no_expert(expert, pattern, facts):
            return _Problem(f"expert {expert}" if edit.expert is not None else f"{expert}", problem)
    return _of_time(edit, facts)


def _of_time(edit: Edit, facts: ModelFacts) -> _Problem | None:
    """What an edit asks of a token or a pass that doesn't come."""
    if edit.token is not None and facts.tokens and not -facts.tokens <= edit.token < facts.tokens:
        return _Problem(f"token {edit.token}", f"no token {edit.token}: the prompt has {_range(facts.tokens, 'token')}")
    if edit.pass_ is not None and facts.passes and edit.pass_ >= facts.passes:
        longer = f"; {facts.longer.format(edit.pass_ + 1)}" if facts.longer else ""
        problem = f"no pass {edit.pass_}: the run has {_range(facts.passes, 'pass')}{longer}"
        return _Problem(f"pass {edit.pass_}", problem)
    return None


def _no_head(head: int, heads: int, what: str = "head") -> str:
    return f"no {what} {head}: a layer has {_range(heads, what)}" if 0 < heads <= head else ""


def _no_expert(expert: int, pattern: str, facts: ModelFacts) -> str:
    """Why no block that a pattern names has an expert."""
    blocks = tuple(facts.sites.expert_blocks(pattern))
    if blocks:
        most = max(len(block.numbers) for block in blocks)
        there = any(expert in block.numbers for block in blocks)
    else:
        most, there = facts.experts, expert < facts.experts or not facts.experts
    return "" if there else f"no expert {expert}: a block has {_range(most, 'expert')}"


def _range(count: int, what: str) -> str:
    """`4 heads, 0 to 3`."""
    many = "passes" if what == "pass" else f"{what}s"
    return f"{count} {many}, 0 to {count - 1}" if count > 1 else f"1 {what}, 0"
