"""Which pictures the terminal can show: it is asked once the screen is up, and answers among what is typed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from textual.message import Message

from tracetui.views.pixels.protocol import PixelSize, Protocol

_NUMBER = 31
_KITTY_QUERY = f"\x1b_Gi={_NUMBER},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_CELL_QUERY = "\x1b[16t"
_ATTRIBUTES_QUERY = "\x1b[c"
"""Every terminal answers this one, so that it ends the waiting for the others."""
_WAIT_SECONDS = 2.0
_ANSWER = re.compile(
    r"\x1b_Gi=(?P<number>\d+)(?:,[^;\x1b]*)?;(?P<kitty>[^\x1b]*)\x1b\\"
    r"|\x1b\[6;(?P<height>\d{1,4});(?P<width>\d{1,4})t"
    r"|\x1b\[\?(?P<attributes>[\d;]*)c"
)
_BEGUN = re.compile(r"\x1b(_[^\x1b]*(\x1b)?|\[(6(;[\d;]*)?|\?[\d;]*)?)$")
_SIXEL_ATTRIBUTE = "4"
_USUAL = PixelSize(10, 20)
"""Of a cell, where the protocol stretches a picture over its cells anyway."""
_LEAST, _MOST = 4, 64
"""Pixels of a cell's side that can be true."""
_PLAIN = ("linux", "dumb")


@dataclass(frozen=True, slots=True)
class Graphics:
    """How pictures are sent to this terminal."""

    protocol: Protocol
    cell: PixelSize


class GraphicsKnown(Message):
    """The terminal has answered; None: it shows no pictures."""

    def __init__(self, graphics: Graphics | None) -> None:
        super().__init__()
        self.graphics = graphics


class TerminalAnswers:
    """Takes the terminal's answers out of what is typed.

    Inside tmux kitty's protocol isn't asked for: tmux would take the question for a title, and a picture sent past it
    stays where it is when the pane is left. Sixels that tmux itself knows of are its own to keep in place.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, pixels: tuple[int, int] = (0, 0)) -> None:
        """pixels: width and height of a cell, where the terminal's size says them; 0 where it doesn't."""
        self._environ = environ
        self._pixels = pixels
        self._kitty = False
        self._held = ""
        self._until = 0.0

    @property
    def query(self) -> str:
        """What is asked; empty for a terminal that could show it as text."""
        term = self._environ.get("TERM", "")
        inside = self._environ.get("TMUX")
        if not inside and (term in _PLAIN or term.startswith("screen")):
            return ""
        return f"{'' if inside else _KITTY_QUERY}{_CELL_QUERY}{_ATTRIBUTES_QUERY}"

    def begin(self) -> None:
        """The question goes out."""
        self._kitty, self._held, self._until = False, "", time.monotonic() + _WAIT_SECONDS

    def taken_out(self, text: str) -> tuple[str, list[GraphicsKnown]]:
        """What is left for the keyboard, and what the terminal can show if that is known now."""
        text, self._held = self._held + text, ""
        if "\x1b" not in text:
            return text, []
        known: list[GraphicsKnown] = []
        for answer in _ANSWER.finditer(text):
            if answer["number"]:
                self._kitty = self._kitty or (int(answer["number"]) == _NUMBER and answer["kitty"] == "OK")
            elif answer["height"]:
                self._pixels = int(answer["width"]), int(answer["height"])
            elif self._until:
                known.append(GraphicsKnown(self._graphics(answer["attributes"].split(";"))))
        text = _ANSWER.sub("", text)
        if known:
            self._until = 0.0
        elif time.monotonic() < self._until and (begun := _BEGUN.search(text)):
            text, self._held = text[: begun.start()], begun[0]
        return text, known

    def _graphics(self, attributes: list[str]) -> Graphics | None:
        size = PixelSize(*self._pixels) if all(_LEAST <= side <= _MOST for side in self._pixels) else None
        if self._kitty:
            return Graphics(Protocol.KITTY, size or _USUAL)
        if self._is_iterm and not self._environ.get("TMUX"):
            return Graphics(Protocol.ITERM, size or _USUAL)
        # A sixel's own pixels decide how many cells it covers.
        return Graphics(Protocol.SIXEL, size) if size is not None and _SIXEL_ATTRIBUTE in attributes[1:] else None

    @property
    def _is_iterm(self) -> bool:
        names = self._environ.get("TERM_PROGRAM", ""), self._environ.get("LC_TERMINAL", "")
        return "iTerm.app" in names or "iTerm2" in names
