"""One head's scores under both rotary layouts, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from tracetui.analysis.attention.reach import largest
from tracetui.analysis.attention.scores import AttentionView, Matrix
from tracetui.analysis.rope.pairs import LAYOUTS, WORDS, Layout, RopeCheck, Untold, check_rope
from tracetui.debugger.labels import row_name
from tracetui.debugger.readings.attention import axis, nearest
from tracetui.debugger.state import ScreenState
from tracetui.text import visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import CLOSE, DialogKeys
from tracetui.ui.messages import Said
from tracetui.ui.panes.attention.lines import verdict
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.attention_scales import score_scales
from tracetui.views.heatmap.matrix import HeatmapData, heatmap_data
from tracetui.views.heatmap.scale import Scale, ScaleKind

Pictures = tuple[HeatmapData, ...]


@dataclass(frozen=True, eq=False, slots=True)
class RopeRead:
    """A head's scores under both layouts, ready to be drawn."""

    check: RopeCheck
    pictures: Pictures
    state: ScreenState


_KEYS = (("[", "head before", "head(-1)"), ("]", "next head", "head(1)"), CLOSE, ("arrows", "crosshair", ""))


class RopeScreen(Dialog[None]):
    """Two heatmaps with one crosshair; `[` and `]` go to other heads."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,R,q,enter", "dismiss(None)", "close", show=False, id="rope_close"),
        Binding("right_square_bracket", "head(1)", "next head", show=False, id="next_head"),
        Binding("left_square_bracket", "head(-1)", "head before", show=False, id="previous_head"),
    ]

    def __init__(self, read: RopeRead) -> None:
        super().__init__()
        self._read = read

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="rope"):
            yield Static(id="rope-title", classes="dialog-title")
            with Horizontal(id="rope-sides"):
                for layout, picture in zip(LAYOUTS, self._read.pictures, strict=True):
                    with Vertical():
                        yield Static(id=f"rope-{layout}", classes="rope-side")
                        yield Heatmap(picture, id=f"rope-map-{layout}")
            yield Static(id="rope-evidence")
            yield DialogKeys(*_KEYS)

    def on_mount(self) -> None:
        palettes = getattr(self.app, "palettes", None)
        for heatmap in self.query(Heatmap):
            if palettes is not None:
                heatmap.palettes = palettes()
        self._show(self._read)

    def _show(self, read: RopeRead | str) -> None:
        """A head, or in words why there is nothing to see of it."""
        if isinstance(read, str):
            self.post_message(Said(read))
            return
        self._read = read
        check = read.check
        head = f"head {check.head} of 0–{check.view.heads - 1}"
        named = ("RoPE", visible(check.view.site), row_name(check.batch, check.view.batch), head)
        self.query_one("#rope-title", Static).update(Content(" · ".join(part for part in named if part)))
        for layout, picture in zip(LAYOUTS, read.pictures, strict=True):
            self.query_one(f"#rope-{layout}", Static).update(_heading(check, layout))
            self.query_one(f"#rope-map-{layout}", Heatmap).show(picture)
        self.query_one("#rope-evidence", Static).update(Content("\n").join(list(_evidence(check))))

    @on(Heatmap.CursorMoved)
    def _follow(self, message: Heatmap.CursorMoved) -> None:
        """The other heatmap's crosshair stands on the same cell."""
        message.stop()
        for heatmap in self.query(Heatmap):
            if heatmap is not message.heatmap:
                heatmap.place(message.row, message.column)

    def action_head(self, by: int) -> None:
        check = self._read.check
        head = max(0, min(check.view.heads - 1, check.head + by))
        read_in_background(
            self, "rope", partial(read_head, check.view, head, check.batch, self._read.state), self._show
        )


def read_rope(state: ScreenState) -> RopeRead | str:
    """The check of the attention call nearest to the cursor, or in words why there is none."""
    view = nearest(state)
    if view is None:
        return "RoPE: no attention at or before this record whose queries and keys were recorded"
    head, batch = min(state.head, view.heads - 1), min(state.batch, view.batch - 1)
    return read_head(view, head, batch, state)


def read_head(view: AttentionView, head: int, batch: int, state: ScreenState) -> RopeRead | str:
    """The check of one head, or in words why the layout can't be told."""
    check = check_rope(view, head, batch)
    if isinstance(check, Untold):
        return f"RoPE of {view.site} can't be told: {check.reason}"
    reach = max(largest(check.scores[layout]) for layout in LAYOUTS)
    scales = score_scales(reach, "both layouts")
    pictures = tuple(_picture(check.scores[layout], state, view.query.pass_, scales) for layout in LAYOUTS)
    return RopeRead(check, pictures, state)


def _picture(scores: Matrix, state: ScreenState, pass_: int, scales: Mapping[ScaleKind, Scale]) -> HeatmapData:
    queries, keys = scores.shape
    rows, columns = axis("query", queries, state, pass_), axis("key", keys, state, pass_)
    return heatmap_data(scores, rows, columns, diverging=True, kinds=tuple(scales), scales=scales)


def _heading(check: RopeCheck, layout: Layout) -> Content:
    """`✓ halves: agrees to 2.1e-07` beside `✗ adjacent pairs: off by 3.2`."""
    identity = check.off[layout]
    mark, style = ("✓", "bold $success") if identity.holds else ("✗", "bold $error")
    return Content.assemble((f" {mark} {WORDS[layout]}", style), f": {verdict(identity)}")


def _evidence(check: RopeCheck) -> Iterator[Content]:
    yield Content.styled(f"Against q·k as the kernel was given them, {_told(check)}.", "bold")
    yield Content.styled(
        f"Halves turn numbers i and i + {check.rotated // 2} of a head together, adjacent pairs 2i and 2i + 1.",
        "$quiet",
    )
    for line in check.evidence:
        yield Content.styled(visible(line), "$quiet")


def _told(check: RopeCheck) -> str:
    if check.layout:
        return f"it is {WORDS[check.layout]}"
    if all(check.off[layout].holds for layout in LAYOUTS):
        return "both agree, so the layout is UNCLEAR: these few tokens don't tell them apart"
    return "neither agrees, so the layout is UNCLEAR: more happens between projection and kernel than turning"
