"""Pictures in pixels over the characters of widgets: painted where nobody waits, and gone where anything lies above.

What is under a picture is drawn in characters all the same: it is seen until the picture has come, in a saved screen,
and wherever the terminal, a dialog or the user has no pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from rich.console import RenderableType
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.geometry import Region
from textual.screen import Screen
from textual.widget import Widget

from tracetui.ui.reader import read_in_background
from tracetui.ui.terminal.graphics import Graphics
from tracetui.views.pixels.protocol import Protocol, forgotten, placed, removed
from tracetui.views.pixels.sketch import Sketch

_FIRST_NUMBER = 0x7470
"""kitty's pictures are numbered for all programs in its window."""
_IN_CHARACTERS = "maps and histograms are drawn in characters"


@dataclass(eq=False, slots=True)
class _Picture:
    """One sketch, what is sent for it, and where it is."""

    sketch: Sketch
    number: int
    data: str = ""
    """Empty until it is painted."""
    is_sent: bool = False
    place: Region | None = None
    """Where on the screen it is shown."""


@dataclass(eq=False, slots=True)
class _Shown:
    """The pictures of a widget."""

    pictures: list[_Picture] = field(default_factory=list)
    painted: Callable[[], None] = lambda: None
    """Called when all of them are."""

    @property
    def is_painted(self) -> bool:
        return bool(self.pictures) and all(picture.data for picture in self.pictures)


class Pictures:
    """Of an application; it alone writes them, behind each update of the screen."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._of: WeakKeyDictionary[Widget, _Shown] = WeakKeyDictionary()
        self._numbers = count(_FIRST_NUMBER)
        self._graphics: Graphics | None = None
        self._on = True
        self._gone: list[int] = []
        """kitty's numbers of pictures that are to be forgotten."""

    @property
    def graphics(self) -> Graphics | None:
        """How pictures are shown; None where there are none."""
        return self._graphics if self._on else None

    def know(self, graphics: Graphics | None) -> None:
        """The terminal has told what it can show."""
        self._graphics = graphics
        self._begin_anew()

    def switch(self) -> str:
        """Pictures on or off; what is to be said of it."""
        if self._graphics is None:
            return f"this terminal told of no pixels (kitty's, iTerm2's or sixels): {_IN_CHARACTERS}"
        self._on = not self._on
        self._begin_anew()
        name = self._graphics.protocol.value
        return f"large maps and histograms are drawn in pixels ({name})" if self._on else _IN_CHARACTERS

    def shows(self, widget: Widget) -> bool:
        """Whether the widget's pictures are painted, so that its characters aren't seen."""
        shown = self._of.get(widget)
        return self.graphics is not None and shown is not None and shown.is_painted

    def offer(self, widget: Widget, sketches: Sequence[Sketch], painted: Callable[[], None]) -> None:
        """What a widget would show in pixels now; none takes its pictures away. `painted` is called once they are."""
        shown = self._of.setdefault(widget, _Shown())
        shown.painted = painted
        if [picture.sketch.shows for picture in shown.pictures] == [sketch.shows for sketch in sketches]:
            return
        self._forget(shown)
        shown.pictures = [_Picture(sketch, next(self._numbers)) for sketch in sketches]
        if self.graphics is not None:
            self._paint(widget, shown)

    def write_over(self, update: RenderableType | None) -> None:
        """Write the pictures that an update of the screen has drawn over, and those that are new."""
        driver, graphics = self._app._driver, self.graphics
        if driver is None or self._graphics is None:
            return
        written = [forgotten(number) for number in self._gone]
        self._gone.clear()
        for widget, shown in list(self._of.items()):
            area = _area_in_sight(self._app, widget) if graphics is not None and shown.is_painted else None
            for picture in shown.pictures:
                written += self._written(picture, area, update)
        if written:
            driver.write(f"\x1b7{''.join(written)}\x1b8")

    def end(self) -> None:
        """Take all pictures away: the terminal goes back to the shell."""
        for shown in self._of.values():
            self._forget(shown)
        self.write_over(None)

    def _written(self, picture: _Picture, area: Region | None, update: RenderableType | None) -> list[str]:
        assert self._graphics
        is_kept = self._graphics.protocol is Protocol.KITTY
        if area is None:
            was_there, picture.place = picture.place is not None, None
            return [removed(picture.number)] if was_there and is_kept else []
        cells = picture.sketch.area
        place = Region(area.x + cells.x, area.y + cells.y, cells.width, cells.height)
        if picture.place == place and (is_kept or not _touches(update, place)):
            return []
        picture.place = place
        to = f"\x1b[{place.y + 1};{place.x + 1}H"
        if not is_kept:
            return [to, picture.data]
        sent, picture.is_sent = picture.is_sent, True
        return ["" if sent else picture.data, to, placed((cells.width, cells.height), picture.number)]

    def _begin_anew(self) -> None:
        """Everything is painted again, or drawn in characters."""
        for widget, shown in self._of.items():
            self._forget(shown)
            shown.pictures = [_Picture(picture.sketch, next(self._numbers)) for picture in shown.pictures]
            if self.graphics is not None:
                self._paint(widget, shown)
            else:
                shown.painted()
        self._app.refresh()

    def _forget(self, shown: _Shown) -> None:
        for picture in shown.pictures:
            picture.place = None
            if picture.is_sent:
                picture.is_sent = False
                self._gone.append(picture.number)

    def _paint(self, widget: Widget, shown: _Shown) -> None:
        if not shown.pictures:
            return
        assert self.graphics
        pictures = tuple(shown.pictures)
        work = partial(_painted, [(picture.sketch, picture.number) for picture in pictures], self.graphics)
        then = partial(self._take, shown, pictures)
        read_in_background(widget, "picture", work, then, lambda: tuple(shown.pictures))

    def _take(self, shown: _Shown, pictures: tuple[_Picture, ...], data: list[str]) -> None:
        for picture, each in zip(pictures, data, strict=True):
            picture.data = each
        shown.painted()


def pictures_of(widget: Widget) -> Pictures | None:
    """Those of the widget's application, if it has any."""
    pictures = getattr(widget.app, "pictures", None)
    return pictures if isinstance(pictures, Pictures) else None


def _painted(sketches: list[tuple[Sketch, int]], graphics: Graphics) -> list[str]:
    """In a thread: what is sent for each."""
    from tracetui.views.pixels.encoding import encoded

    return [
        encoded(
            graphics.protocol,
            sketch.paint(graphics.cell),
            sketch.colours,
            (sketch.area.width, sketch.area.height),
            number,
        )
        for sketch, number in sketches
    ]


def _area_in_sight(app: App[Any], widget: Widget) -> Region | None:
    """Where a widget's content is on the screen; None where it isn't, or where a part of it is hidden."""
    screen: Screen[Any] = app.screen
    if not widget.is_attached or widget.screen is not screen:
        return None
    visible = screen._compositor.visible_widgets
    if widget not in visible:
        return None
    area = widget.content_region
    if not visible[widget][1].contains_region(area):
        return None
    above = (
        other_region.intersection(other_clip)
        for other, (other_region, other_clip) in visible.items()
        if other is not widget and not other.children
    )
    return None if any(other.overlaps(area) for other in above if other.area) else area


def _touches(update: RenderableType | None, place: Region) -> bool:
    """Whether an update of the screen writes over a region."""
    if isinstance(update, LayoutUpdate):
        return update.region.overlaps(place)
    if isinstance(update, ChopsUpdate):
        return any(y in place.line_range and x1 < place.right and x2 > place.x for y, x1, x2 in update.spans)
    return update is not None
