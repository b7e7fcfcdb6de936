"""One call of a model that exists already, recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tracetui import __version__
from tracetui.analysis.matrices import MatrixRole
from tracetui.trace.keep import KEEP_ALL, Keep
from tracetui.trace.record import Token
from tracetui.trace.trace import RunInfo, Trace
from tracetui.tracer.gate import Gate
from tracetui.tracer.recorder import Recorder
from tracetui.tracer.watch import Watch

_DEEPEST = 16


def record_call(model: nn.Module, *args: object, **kwargs: object) -> Trace:
    """Call a model that exists already and record what its modules return; its weights stay as they are."""
    return record_module(model, args, kwargs)


def record_module(
    model: nn.Module,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    keep: Keep = KEEP_ALL,
    matrices: tuple[MatrixRole, ...] = (),
) -> Trace:
    """The same, keeping the values that `keep` names, and attention's matrices of these roles beside."""
    recorder = Recorder(_run_info(model), _tokens(args, kwargs), Gate().arrived, keep=keep, matrices=matrices)
    with torch.no_grad(), Watch(model, recorder):
        model(*args, **kwargs)
    return recorder.finished()


def _tokens(args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[tuple[Token, ...], ...]:
    """The rows of the ids [B,T], without what an attention mask [B,T] hides at their right."""
    ids, mask = kwargs.get("input_ids", args[0] if args else None), kwargs.get("attention_mask")
    if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or ids.is_floating_point():
        return ()
    lengths = [ids.shape[1]] * ids.shape[0]
    if isinstance(mask, torch.Tensor) and mask.shape == ids.shape:
        places = torch.arange(1, ids.shape[1] + 1, device=mask.device)  # [T]
        lengths = ((mask != 0) * places).amax(dim=1).tolist()
    rows = zip(ids.tolist(), lengths, strict=True)
    return tuple(tuple(Token(token_id, b"") for token_id in row[:length]) for row, length in rows)


def _run_info(model: nn.Module) -> RunInfo:
    config: Any = getattr(model, "config", None)
    told = config.to_dict() if hasattr(config, "to_dict") else config
    return RunInfo(
        model=type(model).__name__,
        config={str(name): _plain(value) for name, value in told.items()} if isinstance(told, Mapping) else {},
        versions={"tracetui": __version__, "torch": str(torch.__version__)},
    )


def _plain(value: object, depth: int = 0) -> object:
    """A configuration's value as a trace file holds it; what JSON has no form for as text."""
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {str(name): _plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return [_plain(inner, depth + 1) for inner in value]
    return str(value)
