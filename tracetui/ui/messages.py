"""What the panes ask of the screen, and what arrives from the session's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from tracetui.debugger.log.level import Level

if TYPE_CHECKING:
    from tracetui.debugger.session import Event, Session


class SessionOpened(Message):
    """The session exists and will send events."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session


class SessionEvent(Message):
    """An event of the session, carried over to the screen's thread."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class FillAsked(Message):
    """Go on to the next record of a role, with which the pane is no longer empty."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role


class Jump(Message):
    """Look at a record."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index


class JumpToModule(Message):
    """Look at a module's own record."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class TokenChosen(Message):
    """Look at a position of the prompt.

    `origin` names the pane that stands there already: by the time it hears of it, it may stand further on.
    """

    def __init__(self, position: int, origin: str = "") -> None:
        super().__init__()
        self.position = position
        self.origin = origin


class PromptGiven(Message):
    """Run this prompt; an empty one stands for the batch that was offered, if one was."""

    def __init__(self, prompt: str) -> None:
        super().__init__()
        self.prompt = prompt


class PromptTyped(Message):
    """The prompt line has changed."""


class PromptLeft(Message):
    """The user went from the prompt to the panes."""


class Trouble(Message):
    """Something failed beside the run itself; `text` is foreign."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Said(Message):
    """Something the user should read; `text` is foreign."""

    def __init__(self, text: str, level: Level = Level.INFO) -> None:
        super().__init__()
        self.text = text
        self.level = level


class HeadPicked(Message):
    """A head is looked at: of the layer on view, or of the attention call at a record."""

    def __init__(self, head: int, record: int | None = None, opens: bool = False) -> None:
        super().__init__()
        self.head = head
        self.record = record
        self.opens = opens
