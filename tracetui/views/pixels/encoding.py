"""A picture as it is sent: by kitty's graphics protocol, as sixels, or as one of iTerm2's inline images."""

from __future__ import annotations

from base64 import standard_b64encode
from collections.abc import Sequence

from tracetui.views.heatmap.pyramid import Codes
from tracetui.views.pixels.png import palette_png
from tracetui.views.pixels.protocol import Protocol
from tracetui.views.pixels.sixel import sixel

_CHUNK = 4096
"""Characters of a picture's data that kitty takes at once."""


def encoded(protocol: Protocol, codes: Codes, colours: Sequence[int], cells: tuple[int, int], number: int) -> str:
    """What is sent for a picture, codes [H,W], once (kitty), or each time it is drawn (the others).

    colours: 0xRRGGBB of each code. cells: the width and height that it takes. number: kitty's name for it.
    """
    if protocol is Protocol.SIXEL:
        return sixel(codes, colours)
    picture = palette_png(codes, colours)
    data = standard_b64encode(picture).decode("ascii")
    if protocol is Protocol.ITERM:
        shown = f"inline=1;width={cells[0]};height={cells[1]};preserveAspectRatio=0;doNotMoveCursor=1"
        return f"\x1b]1337;File=size={len(picture)};{shown}:{data}\x07"
    return _kitty_data(data, number)


def _kitty_data(data: str, number: int) -> str:
    parts = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    head = f"a=t,f=100,i={number},q=2,"
    return "".join(
        f"\x1b_G{head if place == 0 else ''}m={int(place < len(parts) - 1)};{part}\x1b\\"
        for place, part in enumerate(parts)
    )
