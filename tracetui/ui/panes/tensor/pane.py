"""Pane 2: one tensor: where it comes from, its statistics, its histogram, its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static
from textual.worker import get_current_worker

from tracetui.analysis.axes import axis_positions, part_remark
from tracetui.debugger.labels import position_labels
from tracetui.debugger.readings.planes import Plane, plane_of
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.errors import TracetuiError
from tracetui.recording.parallel import Shard
from tracetui.recording.record import Record, Token
from tracetui.recording.trace import Trace
from tracetui.text import statistic
from tracetui.ui.messages import TokenChosen
from tracetui.ui.panes.explained import explain
from tracetui.ui.panes.kept import Kept
from tracetui.ui.panes.pane import ReadingPane
from tracetui.ui.panes.tensor.outlier_map import OutlierMap
from tracetui.ui.panes.tensor.overview import RunOverview
from tracetui.ui.panes.tensor.reading import Reading, read
from tracetui.ui.panes.tensor.subject import Chunk, Subject
from tracetui.ui.panes.tensor.summary import Summary
from tracetui.ui.panes.tensor.value_grid import ORIGIN, ValueGrid
from tracetui.ui.panes.tensor.welcome import Welcome
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.finite import finite_words

_MOST_KEPT = 64
"""Records whose numbers are shown again without being read."""
_MOST_AHEAD = 2**20
"""Elements of a tensor that is read before anybody asks for it."""


class TensorPane(ReadingPane[Reading], Vertical):
    """Everything that can be seen of the record under the cursor."""

    reads_ahead = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "switch_scale", "linear, symlog or full scale", show=False, id="switch_scale"),
    ]

    def __init__(self, offer: StartPage) -> None:
        super().__init__("tensor")
        self.add_class("-empty")
        self._offer = offer
        self._reading: Reading | None = None
        self._kept: Kept[Reading] = Kept(_MOST_KEPT)
        self._plane_of: tuple[object, ...] = ()
        self._row_due = False
        """Whether the token cursor has moved since."""
        self._labels: dict[range, tuple[str, ...]] = {}
        self._labelled: tuple[Token, ...] = ()

    def compose(self) -> ComposeResult:
        yield Welcome(self._offer).data_bind(TensorPane.state)
        yield RunOverview(self._offer).data_bind(TensorPane.state)
        yield Summary()
        yield Static(id="plane")
        yield ValueGrid()
        yield OutlierMap()

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        self.set_class(state.cursor < 0, "-empty")
        self.set_class(state.overview, "-overview")
        if not self.is_mounted or state.cursor < 0:
            return
        fresh = state.cursor != old.cursor or state.trace is not old.trace
        if state.token != old.token and state.token >= 0 and state.token_origin != ORIGIN:
            self._row_due = True
        if fresh or self._row_due or state.head != old.head or state.batch != old.batch:
            self.look()

    def read(self) -> None:
        """The record's numbers where it is another one; its matrix, and the row of the token looked at."""
        state = self.state
        if self._known is None:
            explain(self.query_one(Summary), state.record.key, "tensor")
            if (kept := self._kept.of(state.trace, state.record)) is not None:
                self.show(kept)
            else:
                self.query_one(Summary).show_record(state.trace, state.record)
                super().read()
        if self._plane_of != (place := (state.trace, state.cursor, state.head, state.batch)):
            self._plane_of = place
            self._show_plane()
        if self._row_due:
            self._row_due = False
            grid = self.query_one(ValueGrid)
            grid.show_row(state.token)
            self.query_one(OutlierMap).go_to(*grid.cell)

    def copied(self) -> str:
        """The record in words, with its statistics once they are there."""
        record = self.state.record
        part = part_remark(record, self.state.trace.run)
        text = f"{record.key} {list(record.shape)}{f' ({part})' if part else ''} {record.dtype}"
        if self._known is None:
            return text
        statistics = self._known.statistics
        spread = f"L2 {statistic(statistics.l2)} mean {statistic(statistics.mean)} std {statistic(statistics.std)}"
        extremes = (
            f"min {statistic(statistics.min)} max {statistic(statistics.max)} absmax {statistic(statistics.absmax)}"
        )
        counts = f"nan {statistics.nan} inf {statistics.posinf} -inf {statistics.neginf} zeros {statistics.zeros}"
        return " ".join(filter(None, (text, spread, extremes, counts, finite_words(statistics))))

    @property
    def _known(self) -> Reading | None:
        """What was read of the record under the cursor."""
        reading, state = self._reading, self.state
        known = reading is not None and reading.trace is state.trace and reading.record is state.record
        return reading if known else None

    def reading(self, state: ScreenState) -> Callable[[], Reading]:
        return partial(_read, state.trace, state.record)

    def read_ahead(self, indices: Sequence[int]) -> None:
        """The records that the next key probably leads to, and their matrices."""
        state, grid, known = self.state, self.query_one(ValueGrid), self._kept.of
        states = [replace(state, cursor=index) for index in indices]
        small = [each for each in states if each.record.numel <= _MOST_AHEAD]
        records = [each.record for each in small if known(state.trace, each.record) is None]
        chunks = [work for each in small if (work := grid.reading_of(self._subject(each))) is not None]
        if records or chunks:
            ahead = partial(_read_ahead, state.trace, records, chunks, grid)
            read_in_background(self, "tensor, ahead", ahead, self.keep)

    def draw_ahead(self, state: ScreenState) -> None:
        """What has been read of another state."""
        if not self.display or self.has_class("-map"):
            return
        if (reading := self._kept.of(state.trace, state.record)) is not None:
            self.query_one(Summary).draw_ahead(reading)
        self.query_one(ValueGrid).draw_ahead(self._subject(state))

    def keep(self, values: Sequence[Reading]) -> None:
        for reading in values:
            self._kept.add(reading.trace, reading.record, reading)

    def show(self, reading: Reading) -> None:
        self._reading = reading
        self.keep([reading])
        self.query_one(Summary).show_reading(reading)

    @property
    def largest(self) -> tuple[int, ...] | None:
        """Indices of the tensor's largest element; None where its values weren't kept, or aren't read yet."""
        elements = self._known.distribution if self._known else None
        return elements.outliers.largest if elements else None

    def go_to(self, row: int, column: int) -> None:
        """Show a cell of the matrix, once the matrix is on view that the state asks for now."""
        self.call_after_refresh(self._go_to, row, column)

    def _go_to(self, row: int, column: int) -> None:
        self.query_one(ValueGrid).go_to(row, column)
        self.query_one(OutlierMap).go_to(row, column)

    def toggle_map(self) -> None:
        """Show the matrix as a map, or as a table again; whichever is on view hears the keys if the other did."""
        grid, outliers = self.query_one(ValueGrid), self.query_one(OutlierMap)
        hears = grid.has_focus or outliers.has_focus
        self.toggle_class("-map")
        is_map = self.has_class("-map")
        self.query_one(Summary).brief = is_map
        if is_map:
            outliers.show_subject(grid.subject, grid.cell)
        else:
            outliers.forget()
        if hears:
            (outliers if is_map else grid).focus()

    @on(Heatmap.CursorMoved)
    def _cell_chosen(self, message: Heatmap.CursorMoved) -> None:
        """The table stands where the crosshair does, and so does the token cursor."""
        message.stop()
        grid = self.query_one(ValueGrid)
        is_other, position = message.row != grid.cell[0], grid.subject.position(message.row)
        grid.go_to(message.row, message.column)
        if is_other and position is not None:
            self.post_message(TokenChosen(position, ORIGIN))

    @on(ValueGrid.CellShown)
    def _show_number(self) -> None:
        """The number at the cursor with all its digits, of which the table has room for four."""
        grid = self.query_one(ValueGrid)
        self.query_one("#plane", Static).update(_heading(grid.subject.plane, grid.value), layout=False)

    def action_switch_scale(self) -> None:
        """The histogram's next scale."""
        if not self.query_one(Summary).switch_scale():
            self.app.bell()

    def _show_plane(self) -> None:
        subject = self._subject(self.state)
        heading = self.query_one("#plane", Static)
        heading.update(_heading(subject.plane, None), layout=False)
        explain(heading, subject.plane.note, "tensor")
        grid = self.query_one(ValueGrid)
        grid.show_subject(subject)
        if self.has_class("-map"):
            self.query_one(OutlierMap).show_subject(subject, grid.cell)

    def _subject(self, state: ScreenState) -> Subject:
        """The matrix that a state asks for, with the names of its rows and columns."""
        plane = plane_of(state.record, state.trace.run.config, state.head, state.batch)
        rows = axis_positions(plane.rows.name, plane.rows.length, state.trace, state.record.pass_)
        columns = axis_positions(plane.columns.name, plane.columns.length, state.trace, state.record.pass_)
        return Subject(
            state.trace,
            state.record,
            plane,
            self._label(rows),
            self._label(columns if plane.columns.name == "S" else None) or _whole_indices(plane.columns.shard),
            (rows.start if rows else 0, columns.start if columns and plane.columns.name == "S" else 0),
        )

    def _label(self, positions: range | None) -> tuple[str, ...]:
        """The tokens at these positions, made once for each range."""
        if self.state.tokens is not self._labelled:
            self._labelled, self._labels = self.state.tokens, {}
        if positions is None:
            return ()
        if positions not in self._labels:
            self._labels[positions] = position_labels(self.state.tokens, positions)
        return self._labels[positions]


@lru_cache(maxsize=8)
def _whole_indices(shard: Shard | None) -> tuple[str, ...]:
    """What a part's columns are in the whole tensor; nothing of what is whole."""
    return () if shard is None else tuple(str(index) for edges in shard.ranges for index in range(*edges))


def _read_ahead(
    trace: Trace, records: Sequence[Record], chunks: Sequence[Callable[[], Chunk]], grid: ValueGrid
) -> list[Reading]:
    """In a thread, until something else is looked at."""
    worker = get_current_worker()
    with suppress(TracetuiError):  # Whoever goes there is told.
        for chunk in chunks:
            if not worker.is_cancelled:
                grid.call_later(grid.keep, chunk())
        return [_read(trace, record) for record in records if not worker.is_cancelled]
    return []


def _read(trace: Trace, record: Record) -> Reading:
    worker = get_current_worker()
    return read(trace, record, lambda: worker.is_cancelled)


def _heading(plane: Plane, number: float | None) -> Content:
    """`[0, 5, :, :]  T × K   head 5 of 32   0.022354126`."""
    named = f"  {plane.rows.name} × {plane.columns.name}" if plane.rows.name else ""
    return Content.assemble(
        (f" {plane.where}", "bold $accent"),
        (named, "$quiet"),
        (f"   {plane.note}" if plane.note else "", "$foreground"),
        ("" if number is None else f"   {number:.9g}", "bold $foreground"),
    )
