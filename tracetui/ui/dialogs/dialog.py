"""What every dialog shares: it is left once, however often its key is pressed."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.screen import ModalScreen

from tracetui.ui.keys.commands import dialog_bindings
from tracetui.ui.widgets.line_input import LineInput

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer], Generic[Answer]):
    """A modal screen that can be dismissed only once: a second key that is already under way does nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [*dialog_bindings()]

    async def action_submit(self) -> None:
        """What Enter does in the dialog's line, for who clicks."""
        await self.query_one(LineInput).action_submit()

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        if self.is_current:
            return super().dismiss(result)
        return AwaitComplete()
