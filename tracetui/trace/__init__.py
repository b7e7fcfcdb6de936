"""What a run recorded: its data classes, the stores of values, and the file format.

The package can be called: `tracetui.trace(model, input_ids=ids)` records a model, as docs/api.md explains.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class _Callable(ModuleType):
    """`import tracetui.trace.record` anywhere makes `tracetui.trace` this package: the public function's name too."""

    def __call__(self, *arguments: object, **options: object) -> object:
        """Record one forward pass: see `tracetui.api.recording.trace`."""
        # By name: what is recorded knows nothing of what records it.
        return importlib.import_module("tracetui.api.recording").trace(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
