"""What a module is given: which records hold it, and a record of its own for what none holds.

What a module's parent computes between two modules (a gate, a scan, a product) is seen by nobody else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tracetui.models.module_tree import has_parameters
from tracetui.recording.record import INPUT, UNRECORDED, layer_path
from tracetui.tracer.capture.readable import is_readable
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.hooks.frames import Frame

_MOST = 8
"""Inputs of one module that get records."""
_LISTS = (list, tuple)


class ModuleInputs:
    """Of one module. Used by the model's thread alone."""

    def __init__(self, recorder: Recorder, path: str, module: nn.Module) -> None:
        self._recorder = recorder
        self._site = f"{path}:{INPUT}"
        # A module around others is told by them; a table of positions asks its input for nothing but a dtype.
        self._alone = all(child is None for child in module._modules.values())
        plain = bool(layer_path(path)) or has_parameters(module)
        self._most = (_MOST if self._alone else 1) if path and plain else 0

    def look(
        self, frame: Frame, depth: int, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[torch.Tensor]
    ) -> tuple[int, ...]:
        """The numbers of the records that hold the floating-point tensors among a call's arguments, `given`."""
        if not frame.path:
            for tensor in given:
                self._recorder.given(tensor)
            return ()
        found = []
        most = self._most if self._alone or _begins_with_floats(args, kwargs) else 0
        for place, tensor in enumerate(given):
            index = self._recorder.source_of(tensor) if is_readable(tensor) else UNRECORDED
            if index == UNRECORDED and place < most:
                index = self._record(frame, depth, tensor, place)
            found.append(index)
        return tuple(found)

    def _record(self, frame: Frame, depth: int, tensor: torch.Tensor, place: int) -> int:
        recorder, call = self._recorder, frame.call
        if tensor.is_inference() or not is_readable(tensor) or not recorder.may_record(self._site, call, place):
            return UNRECORDED
        return recorder.record(self._site, tensor, depth=depth, parent=frame.path, call=call, part=place).index


def _begins_with_floats(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the first tensor that a module is given are hidden states, and not ids beside a mask."""
    first = next((value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)), None)
    return first is not None and first.is_floating_point()


def float_tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """What a module computes with: the floating-point tensors among its arguments, those in lists among them too."""
    found: list[torch.Tensor] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            if value.is_floating_point():
                found.append(value)
        elif isinstance(value, _LISTS):
            found += [item for item in value if isinstance(item, torch.Tensor) and item.is_floating_point()]
    return found
