"""A recurrence computed token by token from what was recorded of it, to compare its state and output with."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tracetui.api.trace import Trace
from tracetui.models.recurrent import kernels_called
from tracetui.recording.record import Record

ROLES = frozenset(
    {
        *("conv", "conv_state", "x", "dt", "decay", "beta", "B", "C"),
        *("query", "key", "value", "gate", "update", "scan_output", "state"),
    }
)
_WORDS = ("mambamixer", "rwkvselfattention", "xlstmlayer", "deltanet", "lightning", "rglru", "shortconv")


def is_recurrent(module: nn.Module) -> bool:
    """Whether it computes a recurrence or its convolution, as far as its class tells."""
    name = type(module).__name__.lower()
    return bool(kernels_called(module)) or any(word in name for word in _WORDS)


def off(trace: Trace, state: Record, module: nn.Module) -> float | None:
    """How far a recorded state is from the recurrence over the steps beside it, as a share; None if there are none."""
    steps = {
        record.role: torch.from_numpy(trace[record].copy()).double()
        for record in trace.records
        if (record.module, record.pass_, record.call, record.part) == (state.module, 0, state.call, state.part)
        and record.role in ROLES
    }
    made = _recurred(steps, module, state.part)
    if made is None:
        return None
    return float((made - steps["state"]).norm() / steps["state"].norm())


def _recurred(steps: dict[str, torch.Tensor], module: Any, part: int) -> torch.Tensor | None:
    state = torch.zeros_like(steps["state"])
    if "update" in steps:
        for token in range(steps["update"].shape[1]):
            state = steps["decay"][:, token] * state + steps["update"][:, token]  # [B,H]
        return state
    if "beta" in steps:
        return _delta(steps, state)
    if "dt" not in steps:
        return None
    x, dt, written = steps["x"], steps["dt"], steps["B"]  # [B,T,H(,V)] [B,T,H] [B,T,G,K]
    written = written.repeat_interleave(x.shape[2] // written.shape[2], dim=2)  # [B,T,H,K]
    rate = -module.A_log.detach().double().exp()
    rate = rate[part] if rate.dim() == 3 else rate  # [H,K] or [H]
    for token in range(x.shape[1]):
        added = dt[:, token, :, None] * written[:, token]  # [B,H,K]
        if rate.dim() == 2:
            state = (dt[:, token, :, None] * rate).exp() * state + added * x[:, token, :, None]
        else:
            state = steps["decay"][:, token, :, None, None] * state + added[..., None] * x[:, token, :, None]
    return state


def _delta(steps: dict[str, torch.Tensor], state: torch.Tensor) -> torch.Tensor:
    key, value, decay = steps["key"], steps["value"], steps["decay"]
    key = key.repeat_interleave(value.shape[2] // key.shape[2], dim=2)  # [B,T,H,K]
    key = key / (key * key).sum(-1, keepdim=True).add(1e-6).sqrt()
    decay = decay if decay.dim() == 4 else decay.unsqueeze(-1)  # [B,T,H,1 or K]
    for token in range(key.shape[1]):
        state = decay[:, token, ..., None] * state
        held = (state * key[:, token, ..., None]).sum(2)  # [B,H,V]
        change = steps["beta"][:, token, :, None] * (value[:, token] - held)
        state = state + key[:, token, ..., None] * change[:, :, None]
    return state
