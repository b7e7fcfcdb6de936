"""What a module is given: which records hold it, and a record of its own for what none holds.

What a module's parent computes between two modules (a gate, a scan, a product) is seen by nobody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tracetui.models.ranks.local import local_tensor
from tracetui.recording.record import UNRECORDED
from tracetui.tracer.capture.readable import is_readable
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.hooks.frames import Frame
from tracetui.tracer.hooks.module_site import ModuleSite

_LISTS = (list, tuple)


def input_records(
    recorder: Recorder,
    site: ModuleSite,
    frame: Frame,
    depth: int,
    given: Sequence[torch.Tensor],
    states_first: bool,
) -> tuple[int, ...]:
    """The numbers of the records that hold the floating-point tensors among a call's arguments, `given`.

    states_first: whether the first tensor among them was one of these, and not ids beside a mask.
    """
    if not site.path:
        for tensor in given:
            recorder.given(tensor)
        return ()
    found = []
    most = site.inputs if states_first else 0
    for place, tensor in enumerate(given):
        index = recorder.source_of(tensor) if is_readable(tensor) else UNRECORDED
        if index == UNRECORDED and place < most:
            index = _recorded(recorder, site, frame, depth, tensor, place)
        found.append(index)
    return tuple(found)


def _recorded(recorder: Recorder, site: ModuleSite, frame: Frame, depth: int, tensor: torch.Tensor, place: int) -> int:
    call = frame.call
    if tensor.is_inference():
        recorder.note("in inference mode what modules are given is not recorded; torch.no_grad() has it recorded")
        return UNRECORDED
    if not is_readable(tensor) or not recorder.may_record(site.input_site, call, place):
        return UNRECORDED
    return recorder.record(site.input_site, tensor, depth=depth, parent=frame.path, call=call, part=place).index


def given_floats(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[torch.Tensor], bool]:
    """What a module computes with: the floating-point tensors among its arguments, those in lists among them too.

    And whether the first tensor of all is one, as hidden states are, and ids beside a mask aren't.
    """
    floats: list[torch.Tensor] = []
    starts_with_floats: bool | None = None
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            is_float = value.is_floating_point()
            if is_float:
                floats.append(value if type(value) is torch.Tensor else local_tensor(value))
            if starts_with_floats is None:
                starts_with_floats = is_float
        elif isinstance(value, _LISTS):
            tensors = (item for item in value if isinstance(item, torch.Tensor) and item.is_floating_point())
            floats += map(local_tensor, tensors)
    return floats, bool(starts_with_floats)
