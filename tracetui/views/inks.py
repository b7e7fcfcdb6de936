"""The styles that the small views draw with: foregrounds by meaning, handed in by whoever knows the theme."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style

PLAIN = Style.null()


@dataclass(frozen=True, slots=True)
class Inks:
    """One style for each meaning; all but `cursor` and `track` leave the ground as it is."""

    text: Style = PLAIN
    quiet: Style = PLAIN
    """Labels, indices, units."""
    faint: Style = PLAIN
    """What is still to come: half-way from `rule` to `quiet`."""
    rule: Style = PLAIN
    """Axes and hairlines."""
    bar: Style = PLAIN
    track: Style = PLAIN
    """What a full bar would fill: a ground only."""
    line: Style = PLAIN
    """The residual's line."""
    cursor: Style = PLAIN
    """The row, cell or point where the user is; ground and all."""
    mark: Style = PLAIN
    """The same as a foreground, where a ground would hide the picture."""
    positive: tuple[Style, ...] = (PLAIN,)
    """From small to large magnitude."""
    negative: tuple[Style, ...] = (PLAIN,)
    zero: Style = PLAIN
    nan: Style = PLAIN
    inf: Style = PLAIN
    stop: Style = PLAIN
    """Where a stop held."""
    special: Style = PLAIN
    """Tokens that no text can produce."""
