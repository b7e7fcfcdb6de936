"""Why an expression can't be taken, or tells nothing at some record."""

from __future__ import annotations

from difflib import get_close_matches

from tracetui.errors import InputError
from tracetui.expr.names import BY_NAME
from tracetui.text import visible

_AROUND = 60
"""Characters shown of a long expression, around the place."""


class BadExpressionError(InputError):
    """An expression that is refused, with the place in it."""

    def __init__(self, source: str, column: int, problem: str, where: str = "") -> None:
        self.source = source
        self.column = max(0, min(column, len(source)))
        self.problem = problem
        place = f"at character {self.column + 1}" if source.strip() else "empty"
        super().__init__(f"{where}: {place}: {problem}" if where else f"{place}: {problem}")
        first = max(0, self.column - _AROUND)
        around = visible(source[first : self.column + _AROUND], 2 * _AROUND)
        before = visible(source[first : self.column], 2 * _AROUND)
        self.details = (f"  {around}", f"  {' ' * len(before)}^")

    def inside(self, source: str, offset: int, where: str) -> BadExpressionError:
        """The same mistake as one in a longer text, in which this expression begins at `offset`."""
        return BadExpressionError(source, self.column + offset, self.problem, where)


class UntoldError(Exception):
    """A name has no value at a record: `prev` in the first layer, a routing where there is none."""


def unknown(name: str) -> str:
    """In words that a name doesn't exist, with the nearest one and all there are."""
    near = get_close_matches(name, BY_NAME, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{visible(name, 40)} is no name here; {meant}there are {', '.join(BY_NAME)}"
