"""What a recurrence's kernel is given and returns, by role: one meaning and one order of axes for all families.

A state-space model's head of size 1 is a channel (Mamba): its tensors lack the last axis. B's and C's width is the
state's K, as a key's is in linear attention.

Sources: Mamba (arXiv 2312.00752), Mamba-2 (2405.21060), Gated DeltaNet (2412.06464), Griffin's RG-LRU (2402.19427).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from tracetui.tracer.hooks.function_calls import FunctionCall

Step = tuple[str, torch.Tensor]
"""A role and its tensor."""
_FINAL_STATE = {
    "selective_scan_fn": "return_last_state",
    "mamba_chunk_scan_combined": "return_final_states",
    "chunk_gated_delta_rule": "output_final_state",
    "fused_recurrent_gated_delta_rule": "output_final_state",
    "chunk_kda": "output_final_state",
    "fused_recurrent_kda": "output_final_state",
    "rwkv_linear_attention": "return_state",
}
"""The argument with which a kernel is asked for the state at the end."""


def steps_before(call: FunctionCall) -> Iterator[Step]:
    """What a kernel is given."""
    arguments = call.arguments
    match call.name:
        case "selective_scan_fn":
            yield from _selective(
                arguments["hidden_states"], _step_size(arguments, "delta_bias", -1), arguments
            )  # [B,H,T]
        case "selective_state_update" if arguments["hidden_states"].dim() == 2:
            one = {name: arguments[name].unsqueeze(-1) for name in ("B", "C")} | {
                "z": _last(arguments.get("z"))
            }  # [B,K,1]
            yield from _selective(_last(arguments["hidden_states"]), _last(_step_size(arguments, "dt_bias")), one)
        case "selective_state_update":
            yield from _one_token(arguments)
        case "mamba_chunk_scan_combined":
            dt = _step_size(arguments, "dt_bias").clamp(*arguments["dt_limit"])  # [B,T,H]
            yield from _heads(arguments["hidden_states"], dt, arguments["A"], arguments["B"], arguments["C"])
        case "_rnn_scan":
            yield "update", arguments["hidden_states"]
            yield "decay", arguments["recurrent_gate"] * ~arguments["reset"]  # [B,T,H]
        case name if name in _FINAL_STATE:
            yield from ((role, arguments[role]) for role in ("query", "key", "value", "beta"))
            yield "decay", arguments["g"].exp()  # [B,T,H] or [B,T,H,K]


def steps_after(call: FunctionCall, result: Any, tokens: int) -> Iterator[Step]:
    """What a kernel has made of it; `tokens`: how many the block was given."""
    arguments = call.arguments
    match call.name:
        case "causal_conv1d_fn" | "causal_conv1d_update" | "update_conv_state":
            yield from _convolved(call, result, tokens)
        case "selective_state_update":
            # With a gate the kernel returns the gated output, which is another tensor than a prompt's scan output.
            if arguments["hidden_states"].dim() == 3 and arguments.get("z") is None:
                yield "scan_output", result.unsqueeze(1)  # [B,1,H,V]
            yield "state", _state(arguments["state"])
        case "_rnn_scan" | "lightning_attention":
            yield "state", result[1]  # [B,H] or [B,H,K,V]
        case name if name in _FINAL_STATE:
            yield from _scanned(call, *_with_state(call, result))


def _convolved(call: FunctionCall, result: Any, tokens: int) -> Iterator[Step]:
    """Of a causal convolution, or where the cache takes in what it is given."""
    arguments = call.arguments
    if call.name == "update_conv_state":
        layer = arguments["self"].layers[arguments["layer_idx"]]
        yield "conv_state", layer.conv_states[arguments["state_idx"]]  # [B,C,W]
        return
    if result.dim() == 3 and result.shape[-1] >= tokens > 0:
        yield "conv", result[..., -tokens:]  # [B,C,T]
    if "conv_state" in arguments:
        yield "conv_state", arguments["conv_state"]  # [B,C,W]


def _scanned(call: FunctionCall, output: torch.Tensor, state: Any) -> Iterator[Step]:
    """What is read from the state, and the state at the end."""
    if call.name != "selective_scan_fn":
        yield "scan_output", output  # [B,T,H,V]
    if call.name == "mamba_chunk_scan_combined":
        state = _state(state)
    # RWKV's are several.
    yield from (("state", part) for part in (state if isinstance(state, list | tuple) else [state]))  # [B,H,K,V]


def _with_state(call: FunctionCall, result: Any) -> tuple[Any, Any]:
    """The output, and the state at the end; a kernel that wasn't asked for the state is asked once more."""
    output, state = result if isinstance(result, tuple) else (result, None)
    if state is None:
        state = call.again(**{_FINAL_STATE[call.name]: True})[1]
    return output, state


def _selective(x: torch.Tensor, dt: torch.Tensor, arguments: Mapping[str, Any]) -> Iterator[Step]:
    """Mamba's: x, dt [B,H,T], B and C [B,K,T], z [B,H,T]."""
    yield "x", x.transpose(1, 2)  # [B,T,H]
    yield "dt", dt.transpose(1, 2)  # [B,T,H]
    for role in ("B", "C"):
        if arguments[role].dim() == 3:
            yield role, arguments[role].transpose(1, 2).unsqueeze(2)  # [B,T,1,K]
    if arguments.get("z") is not None:
        yield "gate", arguments["z"].transpose(1, 2)  # [B,T,H]


def _one_token(arguments: Mapping[str, Any]) -> Iterator[Step]:
    """Mamba-2's when it decodes: each head's dt and A stand once for each of its channels."""
    dt = _step_size(arguments, "dt_bias")[..., 0]  # [B,H]
    x, b, c = (arguments[name].unsqueeze(1) for name in ("hidden_states", "B", "C"))
    yield from _heads(x, dt.unsqueeze(1), arguments["A"][:, 0, 0], b, c)


def _heads(x: Any, dt: Any, a: torch.Tensor, b: Any, c: Any) -> Iterator[Step]:
    """Mamba-2's: x [B,T,H,V], dt [B,T,H], a [H], b and c [B,T,G,K]."""
    yield "x", x
    yield "dt", dt
    yield "decay", (dt.float() * a.float()).exp()  # [B,T,H]
    yield "B", b
    yield "C", c


def _step_size(arguments: Mapping[str, Any], bias_name: str, axis: int | None = None) -> torch.Tensor:
    """Δ: what the kernel's own first steps make of dt, its bias and its softplus."""
    dt: torch.Tensor = arguments["dt"]
    bias, softplus = (
        arguments.get(bias_name),
        arguments.get("dt_softplus", False) or arguments.get("delta_softplus", False),
    )
    if bias is not None:
        dt = dt + (bias if axis is None else bias.unsqueeze(axis)).to(dt.dtype)
    return F.softplus(dt) if softplus else dt


def _state(state: torch.Tensor) -> torch.Tensor:
    """A state-space model's state [B,H,K] or [B,H,V,K], with the key's axis before the value's."""
    return state.transpose(-1, -2) if state.dim() == 4 else state  # [B,H,K,V]


def _last(tensor: Any) -> Any:
    """One token's, with an axis for tokens at the end."""
    return None if tensor is None else tensor.unsqueeze(-1)
