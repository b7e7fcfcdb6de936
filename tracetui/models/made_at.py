"""Which statement of a module's forward makes one of the tensors that it returns, as far as its code tells."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_DEPTH = 4
"""Names that stand for other names are followed so often."""


_Assignment = ast.Assign | ast.AnnAssign | ast.AugAssign


@dataclass(frozen=True, slots=True)
class Statement:
    """A line of a class, counted from 0, and in words what it is."""

    line: int
    says: str


def statement_of(lines: Sequence[str], part: int = 0, field: str = "") -> Statement | None:
    """Where the forward of a class makes the tensor that it returns as its `part`-th, or as a `field` of its result.

    None where the class has no forward, or one that returns nothing.
    """
    forward = _forward(lines)
    returned = [node for node in _own(forward) if isinstance(node, ast.Return) and node.value] if forward else []
    if not returned:
        return None
    last = max(returned, key=lambda node: node.lineno)
    assert forward
    assert last.value
    return _made(forward, last, last.value, part, field)


def call_of(lines: Sequence[str], name: str) -> Statement | None:
    """Where the forward of a class calls its module of a name: `self.q_proj(…)`."""
    forward = _forward(lines)
    for node in _own(forward) if forward else ():
        if isinstance(node, ast.stmt) and not isinstance(node, ast.For | ast.If | ast.With | ast.While | ast.Try):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call) and ast.unparse(inner.func) == f"self.{name}":
                    return Statement(node.lineno - 1, f"the statement that calls {name}")
    return None


def _forward(lines: Sequence[str]) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent("\n".join(lines)))
    except SyntaxError:
        return None
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    functions = [node for each in classes for node in each.body if isinstance(node, ast.FunctionDef)]
    return next((node for node in functions if node.name == "forward"), None)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, in order, without that of functions inside it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield node
            yield from _own(node)


def _made(forward: ast.FunctionDef, at: ast.stmt, value: ast.expr, part: int, field: str) -> Statement:
    """The statement behind a value that is in use in a statement: the last that sets it by its name."""
    statement, words = at, "what it returns"
    for _ in range(_DEPTH):
        value, part = _chosen(value, part, field)
        if not isinstance(value, ast.Name):
            break
        before = _assignment(forward, value.id, statement)
        if before is None:
            break
        statement, words, field = before, f"the statement that makes {value.id}", ""
        inner = before.value
        if not isinstance(inner, ast.Tuple | ast.List | ast.Name) or not _is_name(before, value.id):
            return Statement(statement.lineno - 1, words)
        value = inner
    return Statement(value.lineno - 1, words)


def _chosen(value: ast.expr, part: int, field: str) -> tuple[ast.expr, int]:
    """Of a tuple its part, of a call with fields the field; whatever else as it is."""
    if isinstance(value, ast.Tuple | ast.List) and part < len(value.elts):
        return value.elts[part], 0
    if isinstance(value, ast.Call) and value.keywords and not value.args:
        fields = [keyword for keyword in value.keywords if keyword.arg not in (None, "loss", "aux_loss")]
        named = [keyword for keyword in fields if keyword.arg == field] or fields[part : part + 1]
        if named:
            return named[0].value, 0
    return value, part


def _assignment(forward: ast.FunctionDef, name: str, before: ast.stmt) -> _Assignment | None:
    """The last statement above another one that sets a name."""
    statements = [
        node
        for node in _own(forward)
        if isinstance(node, _Assignment) and node.value and node.lineno < before.lineno and name in _names(node)
    ]
    return max(statements, key=lambda node: node.lineno, default=None)


def _targets(statement: _Assignment) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def _names(statement: _Assignment) -> set[str]:
    parts = [part for target in _targets(statement) for part in ast.walk(target)]
    # An attribute or an element that is set leaves the name what it was: that is only read.
    return {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}


def _is_name(statement: _Assignment, name: str) -> bool:
    """Whether a statement sets that name alone, whatever it was before."""
    return not isinstance(statement, ast.AugAssign) and [*map(ast.unparse, _targets(statement))] == [name]
