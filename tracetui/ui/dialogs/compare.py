"""Asks with which recording to compare: it begins in the folder of the last one."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on
from textual.message import Message

from tracetui.ui.dialogs.last_folder import keep_folder, last_folder
from tracetui.ui.dialogs.open import OpenScreen, read_recording
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.line_input import LineInput


class CompareScreen(OpenScreen):
    """A file's name to type; the answer is the opened recording, or None."""

    HEADING: ClassVar[str] = "Compare with a recording or a file of tensors, the reference B"

    class Remembered(Message):
        def __init__(self, folder: str) -> None:
            super().__init__()
            self.folder = folder

    def on_mount(self) -> None:
        read_in_background(self, "folder", lambda: self.Remembered(last_folder()))

    @on(Remembered)
    def _begin(self, message: Remembered) -> None:
        line = self.query_one(LineInput)
        if message.folder and not line.value:
            line.value = message.folder
            line.cursor_position = len(message.folder)

    def read(self, typed: str) -> None:
        read_in_background(self, "open", partial(_read, typed))


def _read(typed: str) -> OpenScreen.RecordingRead:
    answer = read_recording(typed)
    if answer.recording is not None:
        keep_folder(answer.recording.path)
    return answer
