"""The names of the panes, the one in front marked; a click brings another to the front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.content import Content
from textual.reactive import reactive

from tracetui.ui.panes.pane import HAS_KEYS, Pane
from tracetui.ui.panes.table import PANES
from tracetui.ui.widgets.action_line import ActionLine, Part

_RAISED = dict(enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹"))


class TabLine(ActionLine):
    """` 2 Tensor   3 Attention   4 Experts   5 Logits   6 Log`; with less room short titles, or the front one alone."""

    front: reactive[str] = reactive("tensor")
    has_keys: reactive[bool] = reactive(False)
    """Whether the pane in front is the one that hears the keys."""
    unread: reactive[int] = reactive(0)
    """Entries of the log that nobody has seen."""

    def set_unread(self, unread: int) -> None:
        self.unread = unread

    def parts(self) -> list[Part]:
        contents = next((each for each in self._sizes() if _length(each) <= self.size.width), self._numbers(" "))
        return [(content, f"screen.command('pane_{pane.id}')") for content, pane in zip(contents, PANES, strict=True)]

    def _sizes(self) -> Iterator[list[Content]]:
        """All tabs, the roomiest first; the last has no gap behind it."""
        for gap in ("  ", " "):
            yield self._tabs([pane.title for pane in PANES], gap)
        for gap in (" ", ""):
            yield self._tabs([pane.short or pane.title for pane in PANES], gap)
        yield self._numbers("  ")

    def _numbers(self, gap: str) -> list[Content]:
        return self._tabs(["" for _ in PANES], gap)

    def _tabs(self, titles: Sequence[str], gap: str) -> list[Content]:
        tabs = [self._tab(pane, title, gap) for pane, title in zip(PANES[:-1], titles, strict=False)]
        return [*tabs, self._last(titles[-1], gap)]

    def _last(self, title: str, gap: str) -> Content:
        """The log's, with how many of its entries nobody has seen."""
        log = PANES[-1]
        if not self.unread or log.id == self.front:
            return self._tab(log, title, "")
        many = f" {self.unread} new" if len(gap) > 1 else _RAISED.get(self.unread, "⁺")
        return Content.assemble((f" {log.key} {title}".rstrip(), "$quiet"), (many, "bold $waiting"))

    def _tab(self, pane: Pane, title: str, gap: str) -> Content:
        if pane.id == self.front:
            mark = HAS_KEYS if self.has_keys else " "
            return Content.assemble(
                (f"{mark}{pane.key} ", "bold $accent"), (pane.title, "bold underline $foreground"), gap
            )
        return Content.styled(f" {pane.key} {title}".rstrip() + gap, "$quiet")


def _length(tabs: Sequence[Content]) -> int:
    return sum(tab.cell_length for tab in tabs)
