"""What a checked expression says of one record, with the numbers that made it so."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracetui.errors import RunError
from tracetui.expr.errors import UntoldError
from tracetui.expr.parse import Expression, constant
from tracetui.recording.statistics import of_array
from tracetui.recording.value import Array, Index

if TYPE_CHECKING:
    from tracetui.expr.moment import RecordScope

Told = tuple[tuple[str, float], ...]
"""The names that were looked at, as they were typed, with their values."""


@dataclass(frozen=True, eq=False, slots=True)
class Answer:
    """What an expression is at one record."""

    value: float | Array | None
    """None where it can't be told; an array only of an expression that may be one."""
    told: Told = ()
    why: str = ""
    """Why it can't be told."""

    @property
    def holds(self) -> bool:
        return isinstance(self.value, float) and bool(self.value)


def evaluate(expression: Expression, scope: RecordScope) -> Answer:
    """The expression at a record. Reads no more than its names need, and raises nothing that a value can cause."""
    evaluation = _Evaluation(scope)
    try:
        value = evaluation.any_value(expression.tree)
    except UntoldError as error:
        return Answer(None, evaluation.told, str(error))
    except (RunError, ArithmeticError, ValueError, KeyError) as error:
        return Answer(None, evaluation.told, str(error) or type(error).__name__)
    if not isinstance(value, float) and not expression.parts:
        shape = list(value.shape)
        return Answer(
            None, evaluation.told, f"it is {shape} here, not one element; a statistic of it is a number: value[…].max"
        )
    return Answer(value, evaluation.told)


class _Evaluation:
    def __init__(self, scope: RecordScope) -> None:
        self._scope = scope
        self._told: dict[str, float] = {}

    @property
    def told(self) -> Told:
        return tuple(self._told.items())

    def any_value(self, node: ast.expr) -> float | Array:
        """A number, or the part that a lone `value[…]` stands for."""
        if isinstance(node, ast.Subscript | ast.Name) and (part := self._part(node)) is not None:
            return part if part.size != 1 else _single(part)
        return float(self._number(node))

    def _number(self, node: ast.expr) -> float:
        match node:
            case ast.Constant():
                return float(constant(node) or 0.0)
            case ast.BoolOp():
                return self._joined(node)
            case ast.UnaryOp():
                return _UNARY[type(node.op)](self._number(node.operand))
            case ast.BinOp():
                return _BINARY[type(node.op)](self._number(node.left), self._number(node.right))
            case ast.Compare():
                return float(self._compared(node))
        return self._noted(node)

    def _joined(self, node: ast.BoolOp) -> float:
        """`and`, `or` with a third truth value: an unknown side only matters if no other side decides."""
        deciding = isinstance(node.op, ast.Or)
        untold: UntoldError | None = None
        for side in node.values:
            try:
                if bool(self._number(side)) is deciding:
                    return float(deciding)
            except UntoldError as error:
                untold = error
        if untold is not None:
            raise untold
        return float(not deciding)

    def _compared(self, node: ast.Compare) -> bool:
        sides = [node.left, *node.comparators]
        shapes = any(isinstance(side, ast.Tuple) for side in sides) or all(self._shape(side) for side in sides)
        values = [self._shape(side) if shapes else self._number(side) for side in sides]
        return all(_COMPARED[type(op)](values[at], values[at + 1]) for at, op in enumerate(node.ops))

    def _shape(self, node: ast.expr) -> tuple[int, ...] | None:
        if isinstance(node, ast.Tuple):
            return tuple(int(constant(length) or 0) for length in node.elts)
        scope, name = self._owner(node)
        return scope.record.shape if name == "shape" and not isinstance(node, ast.Call) else None

    def _noted(self, node: ast.expr) -> float:
        """A name's value, remembered as it was typed."""
        value = self._named(node)
        if not (isinstance(node, ast.Call) and _function(node) == "abs"):
            self._told[ast.unparse(node)] = value
        return value

    def _named(self, node: ast.expr) -> float:
        if isinstance(node, ast.Call):
            return self._called(node)
        if isinstance(node, ast.Attribute) and (part := self._part(node.value)) is not None:
            return _part_statistic(part, node.attr)
        if (part := self._part(node)) is not None:
            return _single(part)
        if isinstance(node, ast.Subscript):
            return self._length(node)
        scope, name = self._owner(node)
        return scope.number(name)

    def _length(self, node: ast.Subscript) -> float:
        scope, _ = self._owner(node.value)
        try:
            return scope.record.shape[_index(node.slice)]
        except IndexError:
            raise UntoldError(f"the shape {list(scope.record.shape)} has no such axis") from None

    def _called(self, node: ast.Call) -> float:
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        if _function(node) == "abs":
            return abs(self._number(arguments[0]))
        scope, name = self._owner(node.func)
        return scope.called(name, _index(arguments[0]) if arguments else None)

    def _owner(self, node: ast.expr) -> tuple[RecordScope, str]:
        """The scope in which a name is looked up (this record, or with `prev.` the layer before), and the name."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "prev":
            return self._scope.previous, node.attr
        return self._scope, node.id if isinstance(node, ast.Name) else ""

    def _part(self, node: ast.expr) -> Array | None:
        """The part of the values that `value`, `value[…]` or `prev.value[…]` stands for; None for anything else."""
        index: Index = ()
        if isinstance(node, ast.Subscript):
            index, node = index_of(node), node.value
        if not (isinstance(node, ast.Name) and node.id == "value") and not (
            isinstance(node, ast.Attribute) and node.attr == "value"
        ):
            return None
        return self._owner(node)[0].part(index)


def _part_statistic(part: Array, name: str) -> float:
    """A statistic of a part of the values."""
    statistics = of_array(part.reshape(-1))
    names = {"norm": "l2"}
    if name == "inf":
        return statistics.posinf + statistics.neginf
    if not statistics.finite_count and name not in ("nan", "zeros", "numel"):
        raise UntoldError("no element of the part is finite")
    return float(getattr(statistics, names.get(name, name)))


def _single(part: Array) -> float:
    """The one element of a part."""
    if part.size != 1:
        raise RunError(
            f"value[…] is {list(part.shape)} here, not one element; a statistic of it is a number: value[…].max"
        )
    return float(part.reshape(-1)[0].real)


def _function(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _index(node: ast.expr) -> int:
    return int(constant(node) or 0)


def index_of(node: ast.expr) -> Index:
    """The places that a checked `…[0,:,2:4]` names."""
    assert isinstance(node, ast.Subscript)
    places = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return tuple(_place(place) for place in places)


def _place(node: ast.expr) -> int | slice:
    if isinstance(node, ast.Slice):
        return slice(*(None if end is None else _index(end) for end in (node.lower, node.upper, node.step)))
    return _index(node)


def _power(base: float, exponent: float) -> float:
    power = base**exponent
    # Of a negative base and a broken exponent Python makes a complex number.
    return math.nan if isinstance(power, complex) else float(power)


_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {
    ast.Not: lambda value: float(not value),
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
