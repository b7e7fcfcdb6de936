"""The home screen's content: sections of lines, each of which stands for a command."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HomeRow:
    """One thing that can be opened."""

    name: str
    about: str = ""
    aside: str = ""
    """Short, at the right: a date, a size."""
    command: tuple[str, ...] = ()
    """What would be typed after `tracetui`."""
    alarm: bool = False
    """Whether `about` tells of something that went wrong."""


@dataclass(frozen=True, slots=True)
class HomeSection:
    """Rows under a title."""

    title: str
    rows: tuple[HomeRow, ...] = ()
    aside: str = ""
    """What stands at the right of its rows."""
    reading: bool = False
    """Whether its rows are being read; without rows it is left out otherwise."""


def date_text(when: float, now: datetime | None = None) -> str:
    """`11:20` of today, `yesterday`, `28 Nov`, `28 Nov 2025`; `when` in seconds since the epoch."""
    now = now or datetime.now()
    date = datetime.fromtimestamp(when)
    days = (now.date() - date.date()).days
    if days in (0, 1):
        return f"{date:%H:%M}" if not days else "yesterday"
    return f"{date.day} {date:%b}{'' if date.year == now.year else f' {date.year}'}"
