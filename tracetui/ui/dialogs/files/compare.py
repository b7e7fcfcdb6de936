"""Asks with which recording to compare: it begins in the folder of the last one."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from tracetui.ui.dialogs.files.last_folder import keep_folder, last_folder
from tracetui.ui.dialogs.files.open import OpenScreen, Recording, read_recording
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.line_input import LineInput


class CompareScreen(OpenScreen):
    """A file's name to type; the answer is the opened recording, or None."""

    HEADING: ClassVar[str] = "Compare with a recording or a file of tensors, the reference B"

    def on_mount(self) -> None:
        read_in_background(self, "folder", last_folder, self._begin)

    def _begin(self, folder: str) -> None:
        line = self.query_one(LineInput)
        if folder and not line.value:
            line.value = folder
            line.cursor_position = len(folder)

    def read(self, typed: str) -> None:
        read_in_background(self, "open", partial(_read, typed), partial(self.show, typed))


def _read(typed: str) -> Recording | str:
    recording = read_recording(typed)
    if isinstance(recording, Recording):
        keep_folder(recording.path)
    return recording
