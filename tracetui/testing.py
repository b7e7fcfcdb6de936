"""For tests of a model: two implementations compared tensor by tensor. Needs neither torch nor pytest."""

from __future__ import annotations

from pathlib import Path

from tracetui.api.differences import diff
from tracetui.api.opening import Traceable


def assert_same_trace(
    a: Traceable,
    b: Traceable,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    map: str | Path | None = None,  # noqa: A002
) -> None:
    """Raise AssertionError with the first divergence, as `tracetui diff` prints it, unless all within tolerance.

    Takes traces, files, or dicts of arrays; b is the reference. Two that have nothing in common aren't the same.
    """
    __tracebackhide__ = True
    comparison = diff(a, b, rtol=rtol, atol=atol, map=map)
    if not comparison.same:
        raise AssertionError(f"the traces differ\n{comparison.explained}")
