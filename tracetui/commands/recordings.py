"""The files of recordings that a command line names."""

from __future__ import annotations

import os
from pathlib import Path

from tracetui.errors import InputError
from tracetui.text import visible


def recording_path(name: str) -> Path:
    """Where a recording is. Raises InputError for what is no file but names a model."""
    if not os.path.lexists(name):
        from tracetui.recipe.find import names_model
        from tracetui.recording.dumps.opening import how_to_record

        if names_model(name):
            raise InputError(f"{visible(name, 300)}: is a model and no recording; {how_to_record(name)}")
    return Path(name)
