"""Modules that a model is given while it runs, too late for hooks of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from tracetui.text import visible
from tracetui.tracer.capture.recorder import Recorder

_Registration = tuple[nn.Module, str, nn.Module]
"""A module, and under which name another one was put into it."""


@contextmanager
def late_modules_noted(modules: Mapping[str, nn.Module], recorder: Recorder) -> Iterator[None]:
    """Note at the end which modules a model was given meanwhile: what they returned is not recorded.

    modules: all that it had before, by their paths.
    """
    registrations: list[_Registration] = []

    def registered(owner: nn.Module, name: str, module: nn.Module | None) -> None:
        if module is not None:
            registrations.append((owner, name, module))

    # Asked for each module that is put into another one, anywhere: no walk through the model before or after.
    handle = register_module_module_registration_hook(registered)
    try:
        yield
    finally:
        handle.remove()
        if registrations:
            _note(registrations, modules, recorder)


def _note(registrations: list[_Registration], modules: Mapping[str, nn.Module], recorder: Recorder) -> None:
    paths = {module: path for path, module in modules.items()}
    for owner, name, module in registrations:
        # Others are put together by other threads, or parts of one that stands in no model yet.
        if module not in paths and (path := paths.get(owner)) is not None:
            whole = f"{path}.{name}" if path else name
            recorder.note(f"{visible(whole, 80)} was made while the model ran: what it returned then is not recorded")
