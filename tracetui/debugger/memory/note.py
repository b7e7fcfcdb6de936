"""What is remembered of a session, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.expr.edit import Edit
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.expr.watch import Watch
from tracetui.recipe.generation import PROMPT_ALONE, Generation
from tracetui.recipe.prompts import Prompts

THOUSAND = 1000
"""All of the room."""


@dataclass(frozen=True, slots=True)
class MapLook:
    """How one heatmap is drawn; empty names are the heatmap's own choice."""

    map: str
    """The heatmap's id on the screen."""
    scale: str = ""
    colours: str = ""
    """Palette of data from small to large."""
    diverging: str = ""
    """Palette of data around zero."""


@dataclass(frozen=True, slots=True)
class PaneSizes:
    """Where the dividers between panes stand, in thousandths of the room; None: where the stylesheet has them."""

    rail: int | None = None
    """Width of the module tree, of the screen's."""
    strip: int | None = None
    """Height of the strip below the panes, of the screen's; 0 hides it."""
    columns: int | None = None
    """On a wide screen, the left column's width, of that of both columns."""
    rows: int | None = None
    """The same of the upper row's height."""
    experts: int | None = None
    """Width of the experts' column, of that of all panes."""


@dataclass(frozen=True, slots=True)
class ScreenLayout:
    """How the screen is arranged. Names that a screen doesn't know are left out when they come back."""

    front: str = ""
    """The pane in front; empty for the first."""
    maximised: str = ""
    """`pane` or `tree`; empty while every pane has its room."""
    opened: tuple[str, ...] | None = None
    """Paths that are unfolded in the tree; None for those that always are at first."""
    names: str = ""
    """The other implementation whose names stand beside the tree's."""
    scores: str = ""
    """Which of attention's matrices is shown."""
    maps: tuple[MapLook, ...] = ()
    numbers: bool = False
    """Whether the tree shows what the run did, however narrow it is."""
    sizes: PaneSizes = PaneSizes()


@dataclass(frozen=True, slots=True)
class SessionNote:
    """Everything that is restored; two notes are equal if their texts are."""

    stops: tuple[Stop, ...] = DEFAULT_STOPS
    watches: tuple[Watch, ...] = ()
    edits: tuple[Edit, ...] = ()
    prompts: Prompts | None = None
    """What Enter would run; None for the recipe's own."""
    earlier: tuple[str, ...] = ()
    """Texts that were run, the newest last."""
    generation: Generation = PROMPT_ALONE
    more: int = 0
    """How many tokens were asked for last; 0 for none."""
    layout: ScreenLayout = ScreenLayout()
    finding: str = ""
    """What stood out in the last run: `NaN in layer 7`."""


NO_NOTE = SessionNote()


def told(note: SessionNote) -> str:
    """`2 stops, 1 watch, the prompt`: what a user would want to know of; empty if there is nothing."""
    own = [stop for stop in note.stops if stop not in DEFAULT_STOPS]
    silenced = len([stop for stop in DEFAULT_STOPS if stop not in note.stops])
    off = "" if any(stop.on for stop in own) else " (off)"
    parts = (
        _counted(len(own), "stop", off) if own else "no stop at nan or inf" if silenced else "",
        _counted(len(note.watches), "watch", plural="watches"),
        _counted(len(note.edits), "edit", " (off)"),
        _prompts(note.prompts),
        _counted(note.generation.count, "token", " to generate"),
        "the layout" if note.layout != ScreenLayout() else "",
    )
    return ", ".join(part for part in parts if part)


def _counted(count: int, word: str, more: str = "", plural: str = "") -> str:
    return f"{count} {word if count == 1 else plural or word + 's'}{more}" if count else ""


def _prompts(prompts: Prompts | None) -> str:
    if prompts is None:
        return ""
    if len(prompts) > 1:
        return f"{len(prompts)} prompts"
    return "the chat's prompt" if prompts.chat else "the prompt"
