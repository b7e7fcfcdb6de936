"""An error that the model's own code raised: in which module, on which line, and what it had been given."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from tracetui.debugger.fault import Fault
from tracetui.errors import in_words
from tracetui.models.ranks.local import local_tensor
from tracetui.models.recordable.watched_call import is_watched_call_code
from tracetui.recording.record import when
from tracetui.text import visible
from tracetui.tracer.capture.readable import is_readable
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.capture.values import dtype_name
from tracetui.tracer.hooks.frames import Frame

Place = tuple[str, int]
"""A file and the number of a line in it."""
_CALL = nn.Module._call_impl.__code__
_MESSAGE = 500
_GONE = re.compile(r"closed by peer|Connection reset|Broken pipe|pair closure|remote process exited", re.IGNORECASE)
_WANTED, _FREE = re.compile(r"Tried to allocate ([\d.]+ \w+)"), re.compile(r"of which ([\d.]+ \w+) is free")
"""What torch tells of it beside advice for people who train."""
_LESS = "use a shorter prompt or fewer rows; of a recipe keep fewer weights there (--memory 0), or run fewer layers"
_SHOWN = 12
"""Inputs that a message names."""


@dataclass(eq=False, slots=True)
class _Call:
    """One module's forward that the error went through."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    places: list[Place] = field(default_factory=list)
    """Where it was, from the call on down to the next module's."""


def fault_of(model: nn.Module, running: Sequence[Frame], recorder: Recorder, error: BaseException) -> Fault:
    """Where in the model an error was raised; the inputs of that module are recorded, and nobody waits there.

    running: the modules that had begun and not ended, outermost first.
    """
    calls = _calls(error)
    frame, call = _innermost(model, running, calls)
    path = frame.path if frame is not None else ""
    told: tuple[str, ...] = ()
    at = -1
    with suppress(Exception):
        # Whatever is wrong with the inputs, the error itself is to be told.
        told, at = _record_inputs(recorder, frame, len(running), call)
    kind = type(call.module if call else model).__name__
    through, is_gone = tuple(_through(_paths(model, running), calls)), _is_of_another_rank(error)
    return Fault(path, kind, told_error(error), told, at, through, is_gone)


def _is_of_another_rank(error: BaseException) -> bool:
    """Whether it says that the other end of a collective is gone; torch has no class for it."""
    return isinstance(error, RuntimeError) and _GONE.search(str(error)) is not None


def raised_at(model: nn.Module, running: Sequence[Frame], error: BaseException) -> dict[str, tuple[Place, ...]]:
    """By the path of each module that was running: where in the code its call was when the error was raised."""
    paths = _paths(model, running)
    return {paths[call.module]: tuple(call.places) for call in _calls(error) if call.module in paths}


def told_error(error: BaseException) -> str:
    """`RuntimeError: mat1 and mat2 shapes cannot be multiplied`, on one line."""
    words = in_words(error)
    if not isinstance(error, torch.OutOfMemoryError):
        return visible(words, _MESSAGE)
    wanted, free = _WANTED.search(words), _FREE.search(words)
    known = f": {wanted[1]} more were wanted" if wanted else ""
    left = f", {free[1]} are free" if wanted and free else ""
    return visible(f"the GPU's memory is full{known}{left}; {_LESS}", _MESSAGE)


def _calls(error: BaseException) -> list[_Call]:
    """The calls of modules that the error's traceback goes through, outermost first."""
    found: list[_Call] = []
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code is _CALL:
            said = frame.f_locals
            found.append(_Call(said["self"], said["args"], said["kwargs"]))
        elif found and not _is_between_calls(frame):
            found[-1].places.append((frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


def _is_between_calls(frame: FrameType) -> bool:
    """Whether a frame is torch's own way of calling a module, or that of a watch."""
    return frame.f_code.co_filename == _CALL.co_filename or is_watched_call_code(frame.f_code)


def _innermost(model: nn.Module, running: Sequence[Frame], calls: Sequence[_Call]) -> tuple[Frame | None, _Call | None]:
    """The innermost module that both the watch and the traceback know; the watch's own where they know none."""
    for call in reversed(calls):
        for frame in reversed(running):
            if model.get_submodule(frame.path) is call.module:
                return frame, call
    return (running[0] if running else None), None


def _through(paths: Mapping[nn.Module, str], calls: Sequence[_Call]) -> Iterator[str]:
    """The line of each module's own code that the error came through; of calls that nobody watched nothing."""
    for call in calls:
        if call.module in paths and call.places:
            file, line = call.places[-1]
            yield visible(f"{paths[call.module] or 'the model'}: {Path(file).name}:{line}", 200)


def _paths(model: nn.Module, running: Sequence[Frame]) -> dict[nn.Module, str]:
    """Of a module that stands in several places the one that is running counts."""
    return {
        **{module: path for path, module in model.named_modules()},
        **{model.get_submodule(frame.path): frame.path for frame in running},
    }


def _record_inputs(
    recorder: Recorder, frame: Frame | None, depth: int, call: _Call | None
) -> tuple[tuple[str, ...], int]:
    """Record what a module was given; in words, and the index of the first such record, -1 if there is none."""
    if frame is None or call is None:
        return (), -1
    site = f"{frame.path}:input" if frame.path else "input"
    told, at = [], -1
    for part, (name, tensor) in enumerate(_tensors(call)):
        told.append(f"{name} {dtype_name(tensor.dtype)} {list(tensor.shape)}")
        named = f"#{part}" if part else ""
        # A layer's input was recorded when it began.
        known = recorder.trace.find(f"{site}{named}{when(recorder.pass_, frame.call)}")
        record = known or recorder.record(site, tensor, depth=depth, parent=frame.path, call=frame.call, part=part)
        at = record.index if at < 0 else at
    return tuple(told[:_SHOWN]), at


def _tensors(call: _Call) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors among a module's arguments, by the names that its forward gives them."""
    for name, value in _named(call):
        items: list[tuple[str, Any]] = [(name, value)]
        if isinstance(value, list | tuple):
            items = [(f"{name}[{place}]", each) for place, each in enumerate(value)]
        elif isinstance(value, dict):
            items = [(str(key), each) for key, each in value.items()]
        yield from ((each, local_tensor(tensor)) for each, tensor in items if is_readable(tensor))


def _named(call: _Call) -> list[tuple[str, Any]]:
    try:
        return list(inspect.signature(call.module.forward).bind_partial(*call.args, **call.kwargs).arguments.items())
    except (TypeError, ValueError):
        # What it was given may be what is wrong.
        return [*((f"argument {place}", value) for place, value in enumerate(call.args)), *call.kwargs.items()]
