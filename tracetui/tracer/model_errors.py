"""An error of the model's own code becomes one that says where, with what was recorded until then."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from torch import nn

from tracetui.debugger.fault import ModelError
from tracetui.errors import Cancelled, InputError, TracetuiError
from tracetui.models.pass_through import PassThrough
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.fault import Place, fault_of, raised_at, told_error
from tracetui.tracer.hooks.model_hooks import ModelHooks

Places = dict[str, Sequence[Place]]
"""Where each module was in its code when an error was raised, by path."""


@contextmanager
def model_errors(model: nn.Module, recorder: Recorder, editor: Editor, hooks: ModelHooks) -> Iterator[Places]:
    """Raises ModelError from an error that the model's code raises in the block.

    Gives what is filled then. Raises InputError for code that relies on layers that were left out.
    """
    raised: Places = {}
    try:
        yield raised
    except TracetuiError:
        raise
    except BaseException as error:
        if not _is_the_models(error):
            raise
        remark = _about_left_out_layers(model, hooks, error)
        recorder.failed_model()
        raised.update(raised_at(model, hooks.running, error))
        fault = fault_of(model, hooks.running, recorder, error)
        fault = replace(fault, error=f"{fault.error}{remark}")
        raise ModelError(fault, recorder.failed(*editor.notes, str(fault))) from error


def _is_the_models(error: BaseException) -> bool:
    """Whether an error comes from a model's code; in the main thread Ctrl-C and signals raise errors too."""
    if isinstance(error, Cancelled):
        return False
    return isinstance(error, Exception) or threading.current_thread() is not threading.main_thread()


def _about_left_out_layers(model: nn.Module, hooks: ModelHooks, error: BaseException) -> str:
    """What is to be said beside an error where layers were left out.

    Raises InputError if it is raised in what has the layers: its own code relies on those that aren't there.
    """
    if not _has_left_out_layers(model):
        return ""
    at = hooks.running[-1].path if hooks.running else ""
    if not _has_left_out_layers(model.get_submodule(at)):
        return " (it may rely on layers that were left out: run all, or say which with --layers)"
    problem = f"{at or type(model).__name__} relies on those that were left out ({told_error(error)})"
    raise InputError(f"layers: {problem}; this family runs with all its layers only") from error


def _has_left_out_layers(model: nn.Module) -> bool:
    return any(isinstance(module, PassThrough) for module in model.modules())
