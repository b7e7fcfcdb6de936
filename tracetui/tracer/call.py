"""One call of a model that exists already, recorded."""

from __future__ import annotations

import torch
from torch import nn

from tracetui.trace.record import Token
from tracetui.trace.trace import RunInfo, Trace
from tracetui.tracer.gate import Gate
from tracetui.tracer.recorder import Recorder
from tracetui.tracer.watch import Watch


def record_call(model: nn.Module, *args: object, **kwargs: object) -> Trace:
    """Call a model that exists already and record what its modules return; its weights stay as they are."""
    ids = kwargs.get("input_ids", args[0] if args else None)
    rows = ids.tolist() if isinstance(ids, torch.Tensor) and ids.dim() == 2 and not ids.is_floating_point() else []
    tokens = tuple(tuple(Token(token_id, b"") for token_id in row) for row in rows)
    recorder = Recorder(RunInfo(model=type(model).__name__), tokens, Gate().arrived)
    with torch.no_grad(), Watch(model, recorder):
        model(*args, **kwargs)
    return recorder.finished()
