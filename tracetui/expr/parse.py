"""Text to a checked tree: a small part of Python's grammar over a fixed set of names. Nothing is ever evaluated."""

from __future__ import annotations

import ast
import math
import warnings
from dataclasses import dataclass, field
from enum import Enum

from tracetui.expr.errors import BadExpressionError, unknown
from tracetui.expr.names import BY_NAME, PART_STATISTICS, Kind

MAX_LENGTH = 500
MAX_DEPTH = 24
MAX_EXPONENT = 16


class Type(Enum):
    """What a part of an expression stands for."""

    NUMBER = "a number"
    SHAPE = "a shape"
    PART = "a part of the tensor"


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; equal to others of the same text."""

    text: str
    tree: ast.expr = field(repr=False, compare=False)
    kinds: frozenset[Kind] = field(default=frozenset(), compare=False)
    """What its names are computed from."""
    parts: bool = field(default=False, compare=False)
    """Whether it may stand for several values."""


def parse(text: str, *, parts: bool = False) -> Expression:
    """The expression in a text; with `parts` it may stand for several values. Raises BadExpressionError."""
    if len(text) > MAX_LENGTH:
        raise BadExpressionError(text, MAX_LENGTH, f"longer than {MAX_LENGTH} characters")
    body = text.strip()
    start = len(text) - len(text.lstrip())
    if not body:
        raise BadExpressionError(text, 0, "nothing stands here; a condition such as norm > 100 is expected")
    check = _Check(text, start)
    tree = check.tree(body)
    kind_of_value = check.type_of(tree, 0)
    if kind_of_value is Type.SHAPE or (kind_of_value is Type.PART and not parts):
        raise check.error(tree, f"this is {kind_of_value.value}, not a number; {_HOW[kind_of_value]}")
    return Expression(body, tree, frozenset(check.kinds), parts)


_HOW = {
    Type.SHAPE: "compare it, or take an axis: shape[-1]",
    Type.PART: "take one element, or a statistic of the part: value[0,:,3].max",
}


class _Check:
    """One text's check: every node is one of those known, or an error that names its place."""

    def __init__(self, source: str, start: int) -> None:
        self._source = source
        self._start = start
        self.kinds: set[Kind] = set()

    def error(self, node: ast.AST, problem: str) -> BadExpressionError:
        return BadExpressionError(self._source, self._column(getattr(node, "col_offset", 0)), problem)

    def _column(self, byte_offset: int) -> int:
        """ast counts bytes of UTF-8."""
        before = self._source[self._start :].encode()[:byte_offset]
        return self._start + len(before.decode(errors="ignore"))

    def tree(self, body: str) -> ast.expr:
        if (bad := next((at for at, char in enumerate(body) if not char.isprintable()), None)) is not None:
            raise BadExpressionError(self._source, self._start + bad, "a character that can't be seen")
        try:
            with warnings.catch_warnings(action="ignore"):
                # Python has its own opinion of `1or 2`, and tells it on stderr.
                return ast.parse(body, mode="eval").body
        except SyntaxError as error:
            # Of a text that breaks off Python names no place.
            at = self._start + (error.offset - 1 if error.offset else len(body))
            hint = "; `==` compares" if self._source[at : at + 1] == "=" else ""
            raise BadExpressionError(self._source, at, f"not an expression: {error.msg}{hint}") from None
        except (ValueError, RecursionError, MemoryError):
            raise BadExpressionError(self._source, self._start, "nested too deeply, or a number too long") from None

    def number(self, node: ast.expr, depth: int) -> None:
        value_type = self.type_of(node, depth)
        if value_type is not Type.NUMBER:
            raise self.error(node, f"this is {value_type.value}, not a number; {_HOW[value_type]}")

    def type_of(self, node: ast.expr, depth: int) -> Type:
        if depth > MAX_DEPTH:
            raise self.error(node, f"nested more than {MAX_DEPTH} deep")
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._name(node)
            case ast.BoolOp() | ast.UnaryOp() | ast.BinOp():
                return self._operation(node, depth)
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.Attribute():
                return self._attribute(node, depth)
            case ast.Subscript():
                return self._subscript(node)
        raise self.error(node, f"{_called(node)} is not part of the language")

    def _constant(self, node: ast.Constant) -> Type:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self.error(node, "only numbers stand for themselves")
        try:
            finite = math.isfinite(float(node.value))
        except OverflowError:
            finite = False
        if not finite:
            raise self.error(node, "too large a number")
        return Type.NUMBER

    def _name(self, node: ast.Name) -> Type:
        if (name := BY_NAME.get(node.id)) is None:
            raise self.error(node, unknown(node.id))
        if node.id == "prev":
            raise self.error(node, "prev is the layer before: say what of it, prev.norm")
        if name.arguments is not None:
            raise self.error(node, f"needs brackets: {name.form}")
        self.kinds.add(name.kind)
        return {"value": Type.PART, "shape": Type.SHAPE}.get(node.id, Type.NUMBER)

    def _operation(self, node: ast.BoolOp | ast.UnaryOp | ast.BinOp, depth: int) -> Type:
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                self.number(value, depth + 1)
        elif isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Invert):
                raise self.error(node, "~ is not part of the language; `not` is")
            self.number(node.operand, depth + 1)
        else:
            self._arithmetic(node, depth)
        return Type.NUMBER

    def _arithmetic(self, node: ast.BinOp, depth: int) -> None:
        if not isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow):
            raise self.error(node, "of operators there are + - * / // % **, and `and`, `or`, `not`")
        self.number(node.left, depth + 1)
        self.number(node.right, depth + 1)
        if isinstance(node.op, ast.Pow):
            exponent = constant(node.right)
            if exponent is None or abs(exponent) > MAX_EXPONENT:
                raise self.error(node.right, f"an exponent is a plain number up to {MAX_EXPONENT}")

    def _comparison(self, node: ast.Compare, depth: int) -> Type:
        sides = [node.left, *node.comparators]
        for at, operator in enumerate(node.ops):
            if not isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq | ast.NotEq):
                raise self.error(sides[at + 1], "of comparisons there are < <= > >= == !=")
        if any(isinstance(side, ast.Tuple) or self._is_shape(side) for side in sides):
            self._shapes(node, sides)
        else:
            for side in sides:
                self.number(side, depth + 1)
        return Type.NUMBER

    @staticmethod
    def _is_shape(node: ast.expr) -> bool:
        return (isinstance(node, ast.Name) and node.id == "shape") or (
            isinstance(node, ast.Attribute) and node.attr == "shape" and _is_prev(node.value)
        )

    def _shapes(self, node: ast.Compare, sides: list[ast.expr]) -> None:
        if not all(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
            raise self.error(node, "shapes are equal (==) or not (!=); take an axis to compare lengths: shape[0] > 4")
        for side in sides:
            if isinstance(side, ast.Tuple):
                lengths = [constant(length) for length in side.elts]
                if not all(length is not None and length == int(length) for length in lengths):
                    raise self.error(side, "a shape is whole numbers in brackets: (1, 17, 4096)")
            elif self._is_shape(side):
                self.kinds.add(Kind.LAYERS if isinstance(side, ast.Attribute) else Kind.PLACE)
            else:
                raise self.error(side, "a shape is compared with a shape: shape == (1, 17, 4096)")

    def _call(self, node: ast.Call, depth: int) -> Type:
        called = node.func
        if isinstance(called, ast.Attribute) and _is_prev(called.value):
            self.kinds.add(Kind.LAYERS)
            called = ast.copy_location(ast.Name(called.attr), called)
        if not isinstance(called, ast.Name):
            raise self.error(node, "only names can be called")
        name = BY_NAME.get(called.id)
        if name is None:
            raise self.error(node, unknown(called.id))
        if name.arguments is None:
            raise self.error(node, f"{name.name} takes no brackets")
        self.kinds.add(name.kind)
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        named = [keyword.arg for keyword in node.keywords]
        if not name.needed <= len(arguments) <= len(name.arguments) or any(arg not in name.arguments for arg in named):
            raise self.error(node, f"is used as {name.form}")
        for argument in arguments:
            self.number(argument, depth + 1)
            if name.kind is not Kind.ARITHMETIC and not _is_index(argument, lowest=0):
                raise self.error(argument, f"a plain whole number from 0 on is expected in {name.form}")
        return Type.NUMBER

    def _attribute(self, node: ast.Attribute, depth: int) -> Type:
        if _is_prev(node.value):
            self.kinds.add(Kind.LAYERS)
            if node.attr == "prev":
                raise self.error(node, "prev goes one layer back, no further")
            return self._name(ast.copy_location(ast.Name(node.attr), node))
        if isinstance(node.value, ast.Name | ast.Attribute | ast.Subscript):
            owner = self.type_of(node.value, depth + 1)
            if owner is Type.PART or _is_element(node.value):
                if node.attr not in PART_STATISTICS:
                    raise self.error(node, f"a part of the tensor has {', '.join(PART_STATISTICS)}, not {node.attr}")
                return Type.NUMBER
        raise self.error(node, "a dot stands after prev and after a part of the tensor: prev.norm, value[0].max")

    def _subscript(self, node: ast.Subscript) -> Type:
        owner = node.value
        if isinstance(owner, ast.Attribute) and _is_prev(owner.value):
            self.kinds.add(Kind.LAYERS)
            owner = ast.copy_location(ast.Name(owner.attr), owner)
        if not isinstance(owner, ast.Name) or owner.id not in ("value", "shape"):
            raise self.error(node, "square brackets stand after value and shape")
        self.kinds.add(BY_NAME[owner.id].kind)
        places = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if owner.id == "shape" and (len(places) != 1 or not _is_index(places[0])):
            raise self.error(node.slice, "an axis is one whole number: shape[-1]")
        for place in places:
            if not _is_index(place) and not _is_slice(place):
                raise self.error(place, "a place is a whole number or a slice: value[0,-1,3], value[0,:,2:5]")
        return Type.PART if any(isinstance(place, ast.Slice) for place in places) else Type.NUMBER


def constant(node: ast.expr) -> float | None:
    """The number that a node is, sign included; None if it is anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = constant(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        try:
            value = float(node.value)
        except OverflowError:
            return None
        return value if math.isfinite(value) else None
    return None


def _is_index(node: ast.expr, lowest: int = -(2**40)) -> bool:
    value = constant(node)
    return value is not None and value == int(value) and lowest <= value <= 2**40


def _is_slice(node: ast.expr) -> bool:
    if not isinstance(node, ast.Slice):
        return False
    ends = (node.lower, node.upper, node.step)
    return all(end is None or (_is_index(end) and (end is not node.step or constant(end) != 0)) for end in ends)


def _is_prev(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "prev"


def _is_element(node: ast.expr) -> bool:
    return isinstance(node, ast.Subscript) and not (isinstance(node.value, ast.Name) and node.value.id == "shape")


def _called(node: ast.expr) -> str:
    """What Python calls a construct, in words."""
    words = {"IfExp": "`if … else`", "Lambda": "lambda", "JoinedStr": "a string", "Tuple": "a list of values"}
    return words.get(type(node).__name__, type(node).__name__)
