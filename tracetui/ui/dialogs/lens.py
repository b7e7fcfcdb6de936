"""The lens: what each layer's residual would predict at each token, as a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from tracetui.analysis.lens import LensTable, joined_lens
from tracetui.debugger.labels import label_of, position_labels, row_name
from tracetui.debugger.state import ScreenState
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import CLOSE, DialogKeys
from tracetui.ui.widgets.canvas import Canvas
from tracetui.ui.widgets.list_keys import CELL_KEYS, FAR
from tracetui.views.cells import Line
from tracetui.views.charts.bars import percent
from tracetui.views.heatmap.ink import rich_colour
from tracetui.views.inks import Inks
from tracetui.views.lens_grid import Corner, cell_at, lens_lines, most_probable, room, told
from tracetui.views.palette import contrasting

_NONE = "no lens here: a run that was started with --lens has one once it has ended"


@dataclass(frozen=True, eq=False, slots=True)
class LensRead:
    """The lens of a run's passes, ready to be drawn."""

    table: LensTable
    state: ScreenState


def read_lens(state: ScreenState) -> LensRead | str:
    """The lens of the prompt and of every token that the model added, or why there is none."""
    table = joined_lens(state.trace, state.batch, state.frontier)
    return _NONE if table is None else LensRead(table, state)


class LensScreen(Dialog[None]):
    """Layers upwards, tokens across; the cell with the cursor in words below."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,P,q,enter", "dismiss(None)", "close", show=False, id="lens_close"),
        *CELL_KEYS,
        Binding("home", f"move({-FAR}, 0)", "last layer", show=False, id="lens_top"),
        Binding("end", f"move({FAR}, 0)", "first layer", show=False, id="lens_bottom"),
    ]

    def __init__(self, read: LensRead) -> None:
        super().__init__()
        self._read = read

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="lens"):
            yield Static(self._title(), classes="dialog-title", id="lens-title")
            yield LensGrid(self._read)
            yield Static(id="lens-place", classes="lens-told")
            yield Static(id="lens-tokens", classes="lens-told")
            yield DialogKeys(CLOSE, ("arrows", "another layer or token", ""))

    def on_mount(self) -> None:
        self._tell()

    def _title(self) -> Content:
        state, table = self._read.state, self._read.table
        row = row_name(state.batch, len(state.trace.tokens))
        top = percent(most_probable(table))
        about = f"Lens · each layer's next token in percent, colours 0 to {top}"
        return Content(f"{about}{row and f' · {row}'}")

    @property
    def _prompt_length(self) -> int:
        lengths = self._read.state.trace.prompt_lengths
        batch = self._read.state.batch
        return lengths[batch] if batch < len(lengths) else self._read.table.positions.stop

    def action_move(self, down: int, right: int) -> None:
        self.query_one(LensGrid).move(down, right)
        self._tell()

    def on_click(self) -> None:
        """The table has heard of it before."""
        self._tell()

    def _tell(self) -> None:
        grid, state = self.query_one(LensGrid), self._read.state
        position = self._read.table.positions[grid.cell[1]]
        label = label_of(state.tokens[position]) if position < len(state.tokens) else str(position)
        place, tokens = told(state.trace, self._read.table, label, grid.cell)
        added = "   a token that the model added" if position >= self._prompt_length else ""
        self.query_one("#lens-place", Static).update(Content.assemble(place, (added, "$quiet")))
        self.query_one("#lens-tokens", Static).update(Content(tokens))


class LensGrid(Canvas):
    """The table; the view moves with the cursor."""

    cell: reactive[tuple[int, int]] = reactive((0, 0))

    def __init__(self, read: LensRead) -> None:
        super().__init__(id="lens-grid")
        self._table, self._trace = read.table, read.state.trace
        self._labels = position_labels(read.state.tokens, read.table.positions)
        asked = read.state.token - read.table.positions.start
        last = _last_of_pass(read.state, read.table)
        self.set_reactive(LensGrid.cell, (0, asked if 0 <= asked <= last else last))
        self._corner = Corner(0, 0)

    def move(self, down: int, right: int) -> None:
        row, column = self.cell
        rows, columns = len(self._table.layers), len(self._labels)
        self.cell = (max(0, min(rows - 1, row + down)), max(0, min(columns - 1, column + right)))

    def on_click(self, event: events.Click) -> None:
        at = cell_at(event.x, event.y, self._corner)
        if at is not None:
            self.move(at[0] - self.cell[0], at[1] - self.cell[1])

    def on_mouse_scroll_down(self) -> None:
        self.move(3, 0)

    def on_mouse_scroll_up(self) -> None:
        self.move(-3, 0)

    def watch_cell(self) -> None:
        self.repaint()

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        rows, columns = room(width, height)
        row, column = self.cell
        self._corner = Corner(_into(self._corner.row, row, rows), _into(self._corner.column, column, columns))
        shape = (width, height)
        cursor, grounds = self.cell, self._grounds()
        return list(lens_lines(self._trace, self._table, self._labels, grounds, cursor, self._corner, shape, inks))

    def _grounds(self) -> list[Style]:
        """From improbable to the most probable, in the theme's own colours for numbers."""
        palettes = getattr(self.app, "palettes", None)
        if palettes is None:
            return [Style.null()]
        levels = palettes()[0].levels
        return [Style(color=rich_colour(contrasting(level)), bgcolor=rich_colour(level)) for level in levels]


def _last_of_pass(state: ScreenState, table: LensTable) -> int:
    """The column of the last position that the pass at the cursor computed."""
    lengths, last = state.trace.prompt_lengths, len(table.positions) - 1
    prompt = lengths[state.batch] if state.batch < len(lengths) else table.positions.stop
    return max(0, min(last, prompt - 1 + state.record.pass_ - table.positions.start))


def _into(first: int, place: int, room: int) -> int:
    """Where a view of so many places begins that has a place in it, moved as little as possible."""
    return max(min(first, place), place - room + 1)
