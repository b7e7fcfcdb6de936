"""Modules that run too late for hooks of ours: a model is given them, or makes and copies them, while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from sys import _getframe
from threading import get_ident
from types import FrameType

from torch import nn
from torch.nn.modules.module import (
    register_module_forward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from tracetui.models.module_tree import KnownModel, has_parameters
from tracetui.models.recordable.outside import may_call_outside
from tracetui.models.recordable.unregistered import held_modules
from tracetui.text import visible
from tracetui.tracer.capture.recorder import Recorder

_Registration = tuple[nn.Module, str, nn.Module]
"""A module, and under which name another one was put into it."""


@contextmanager
def late_modules_noted(known: KnownModel, recorder: Recorder) -> Iterator[None]:
    """Note at the end which modules a model was given meanwhile, and which others it called: what they returned is not
    recorded.
    """
    registrations: list[_Registration] = []

    def registered(owner: nn.Module, name: str, module: nn.Module | None) -> None:
        if module is not None:
            registrations.append((owner, name, module))

    with ExitStack() as hooks:
        calls = _OutsideCalls(known, hooks)
        # Asked for what is put into a module, anywhere: no walk through the model before or after.
        handles = (
            register_module_module_registration_hook(registered),
            register_module_parameter_registration_hook(calls.made),
        )
        for handle in handles:
            hooks.callback(handle.remove)
        if known.once(may_call_outside):
            calls.listen()
        yield
    if registrations:
        _note_registered(registrations, known.modules, recorder)
    for place, kind in calls.places:
        recorder.note(
            f"{visible(place, 80)} calls a {visible(kind, 60)} that is no part of the model, as a copy of one, or one "
            "made meanwhile: what it returns is not recorded"
        )


def _note_registered(registrations: list[_Registration], modules: Mapping[str, nn.Module], recorder: Recorder) -> None:
    paths = {module: path for path, module in modules.items()}
    for owner, name, module in registrations:
        # Others are put together by other threads, or parts of one that stands in no model yet.
        if module not in paths and (path := paths.get(owner)) is not None:
            whole = f"{path}.{name}" if path else name
            recorder.note(f"{visible(whole, 80)} was made while the model ran: what it returned then is not recorded")


class _OutsideCalls:
    """The calls of modules with weights that are no part of the model, in the thread that runs it.

    Every module's call is looked at, which costs as much as a hook of its own, from when such a module may be there.
    """

    def __init__(self, known: KnownModel, hooks: ExitStack) -> None:
        self._known = known
        self._hooks = hooks
        self._thread = get_ident()
        self._parts: set[nn.Module] | None = None
        """Of the model, and of the modules that were told of; None as long as nobody listens."""
        self._called: dict[tuple[str, str], nn.Module] = {}
        """By the line of code and the kind of module, the first that was called."""

    def made(self, module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        """Hear of a parameter that a module is given, as each is when it is made."""
        if self._parts is None and get_ident() == self._thread:
            self.listen()

    def listen(self) -> None:
        self._parts = {part for module in self._known.modules.values() for part in module.modules()}
        self._hooks.callback(register_module_forward_pre_hook(self._calls).remove)

    @property
    def places(self) -> list[tuple[str, str]]:
        """Of what the model was neither given meanwhile nor has in a list: those are told of by their names."""
        if not self._called:
            return []
        modules = self._known.modules
        parts = {part for module in (*modules.values(), *held_modules(modules)) for part in module.modules()}
        return [place for place, module in self._called.items() if module not in parts]

    def _calls(self, module: nn.Module, args: object) -> None:
        if get_ident() != self._thread or self._parts is None or module in self._parts:
            return
        self._parts.update(module.modules())
        if has_parameters(module):
            self._called.setdefault((_caller(_getframe(1)), type(module).__name__), module)


def _caller(frame: FrameType | None) -> str:
    """`model.py:12`, the line that called a module."""
    while frame is not None and frame.f_code.co_filename == _CALLS_FILE:
        frame = frame.f_back
    return "" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


_CALLS_FILE = nn.Module._call_impl.__code__.co_filename
