"""Looking at a record from another side: head, row, token, RoPE, lens, source and configuration."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from tracetui.debugger.readings.attention import Shown
from tracetui.debugger.readings.planes import place_of, plane_of, query_heads
from tracetui.debugger.session import Event, Explained, Sourced
from tracetui.debugger.state import moved, row_moved, token_moved, weights_place
from tracetui.recording.value import is_kept
from tracetui.ui.debugger_screen.host import Handlers, Host, Panes

if TYPE_CHECKING:
    from tracetui.ui.dialogs.lens import LensRead
    from tracetui.ui.dialogs.rope import RopeRead


class Heads(Protocol):
    """The pane of attention."""

    kind: Shown

    @property
    def heads(self) -> int:
        """How many heads the call on view has."""

    def next_kind(self) -> None:
        """Show the next of the call's matrices."""

    def next_view(self) -> None:
        """One head, all heads of the layer, or those of all layers."""

    def check_heads(self) -> bool:
        """Check every head; False if there is no call."""


class ExpertsOfToken(Protocol):
    """The pane of experts."""

    def next_expert(self, by: int) -> str:
        """Go through the experts that the token chose; the answer is where that leads."""


class Elements(Protocol):
    """The pane of the tensor."""

    @property
    def largest(self) -> tuple[int, ...] | None:
        """Indices of the largest element; None where it isn't known."""

    def go_to(self, row: int, column: int) -> None:
        """Show a cell of the matrix, once that is on view."""

    def toggle_map(self) -> None:
        """Show the matrix as a map, or as a table again."""


class LookActions:
    """Nothing here moves the cursor or runs the model."""

    def __init__(self, host: Host, panes: Panes, tensor: Elements, attention: Heads, experts: ExpertsOfToken) -> None:
        self._host = host
        self._tensor = tensor
        self._panes = panes
        self._attention = attention
        self._experts = experts
        self._explained: Explained | None = None

    @property
    def handlers(self) -> Handlers:
        return {
            "theme": self.theme,
            "next_head": partial(self.head, 1),
            "previous_head": partial(self.head, -1),
            "next_row": partial(self.row, 1),
            "previous_row": partial(self.row, -1),
            "next_token": partial(self.token, 1),
            "previous_token": partial(self.token, -1),
            "largest": self.largest,
            "outlier_map": self.outlier_map,
            "scores": self.scores,
            "check_heads": self.check_heads,
            "heads": self.heads,
            "rope": self.rope,
            "lens": self.lens,
            "source": lambda: self._host.show(self._host.driver.source()),
            "config": self.config,
        }

    def theme(self) -> None:
        """Try themes on, and choose one."""
        from tracetui.ui.dialogs.theme_picker import ThemeScreen

        self._host.push(ThemeScreen())

    def head(self, by: int) -> None:
        """Another head, or another expert where the experts are in front."""
        state = self._host.state
        if self._panes.front == "experts":
            self._host.show(self._experts.next_expert(by))
            return
        heads = self._attention.heads or query_heads(state.trace.run.config)
        if not heads:
            self._host.show("there are no attention heads here")
            return
        head = max(0, min(heads - 1, state.head + by))
        self._host.driver.state = replace(state, head=head)
        bare = self._panes.front == "tensor" and not plane_of(state.record, state.trace.run.config, head, 0).note
        self._host.show(f"head {head} of 0–{heads - 1}{'; this tensor has no heads' if bare else ''}")

    def row(self, by: int) -> None:
        """Another prompt of a batch."""
        rows = len(self._host.state.trace.tokens)
        self._host.driver.state = row_moved(self._host.state, by)
        self._host.show("" if rows > 1 else "there is one prompt; give several with -p again, --batch or --tokens")

    def token(self, by: int, origin: str = "") -> None:
        """Another token; `origin` is the pane that stands there already."""
        self._host.driver.state = token_moved(self._host.state, by, origin)
        self._host.show("" if self._host.state.tokens else "there are no tokens yet")

    def largest(self) -> None:
        """Go to the element that is largest in size, in whichever prompt and head it is."""
        state, element = self._host.state, self._tensor.largest
        if element is None:
            kept = state.cursor < 0 or is_kept(state.trace.value(state.record))
            self._host.show("no element is known yet" if kept else "the values of this tensor were not kept")
            return
        place = place_of(state.record, state.trace.run.config, element, state.head, state.batch)
        self._host.driver.state = replace(state, head=place.head, batch=place.batch)
        self._panes.bring("tensor")
        self._host.show(f"the largest element: [{', '.join(map(str, element))}]")
        self._tensor.go_to(place.row, place.column)

    def outlier_map(self) -> None:
        self._panes.bring("tensor")
        self._tensor.toggle_map()

    def scores(self, kind: Shown | None = None) -> None:
        """A matrix of the attention call, or its next."""
        self._panes.bring("attention")
        if not self._attention.heads:
            self._host.show("there is no attention here whose scores could be shown")
        if kind is None:
            self._attention.next_kind()
        else:
            self._attention.kind = kind

    def heads(self) -> None:
        """All heads at once, or one again."""
        self._panes.bring("attention")
        self._attention.next_view()

    def pick_head(self, head: int, record: int | None) -> None:
        """Another head, of the attention call at a record if one is said."""
        driver = self._host.driver
        if record is not None:
            driver.state = moved(driver.state, record)
        driver.state = replace(driver.state, head=head)
        self._host.show(None)

    def check_heads(self) -> None:
        self._panes.bring("attention")
        is_checked = self._attention.check_heads()
        self._host.show("all heads are checked" if is_checked else "there is no attention to check here")

    def rope(self) -> None:
        from tracetui.ui.dialogs.rope import read_rope

        self._host.read("rope", partial(read_rope, self._host.state), self._show_rope)

    def _show_rope(self, rope: RopeRead | str) -> None:
        if isinstance(rope, str):
            self._host.say(rope)
        elif self._host.dialog is None:
            from tracetui.ui.dialogs.rope import RopeScreen

            self._host.push(RopeScreen(rope))

    def lens(self) -> None:
        from tracetui.ui.dialogs.lens import read_lens

        self._host.read("lens", partial(read_lens, self._host.state), self._show_lens)

    def _show_lens(self, lens: LensRead | str) -> None:
        if isinstance(lens, str):
            self._host.say(lens)
        elif self._host.dialog is None:
            from tracetui.ui.dialogs.lens import LensScreen

            self._host.push(LensScreen(lens))

    def config(self) -> None:
        """The configuration explained, at the fields behind the shape of the tensor that is looked at."""
        from tracetui.ui.dialogs.config import ConfigScreen

        if (self._explained is None or self._explained.report is None) and not self._host.driver.explain():
            self._host.show("the configuration can be explained once the model is prepared")
            return
        self._host.push(ConfigScreen(weights_place(self._host.state.record), self._explained))

    def hear(self, event: Event) -> None:
        """What the session was asked to explain or to look up has come."""
        if isinstance(event, Explained):
            self._explained = event
            from tracetui.ui.dialogs.config import ConfigScreen

            if isinstance(dialog := self._host.dialog, ConfigScreen):
                dialog.answer(event)
        elif isinstance(event, Sourced):
            self._show_source(event)

    def _show_source(self, source: Sourced) -> None:
        from tracetui.ui.dialogs.source import SourceScreen

        if source.error:
            self._host.show(source.error)
        elif self._host.dialog is None:
            self._host.push(SourceScreen(source))
