"""What recurrent layers compute inside, held against the same computed by hand from what goes in and the weights."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import tracetui
from tests.families.models import IDS, Family, make_family
from tracetui.analysis.axes import axes_of, describe
from tracetui.api.trace import Trace

FAMILIES = ("mamba", "mamba2", "qwen3_next", "lfm2", "recurrent_gemma")
ROLES = {
    "conv",
    "x",
    "dt",
    "decay",
    "beta",
    "B",
    "C",
    "query",
    "key",
    "value",
    "gate",
    "update",
    "scan_output",
    "state",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Family]:
    return {name: make_family(name, tmp_path_factory.mktemp(name)) for name in FAMILIES}


@pytest.fixture(scope="module")
def generated(models: Mapping[str, Family]) -> Mapping[str, Trace]:
    """Of each family a prompt and two passes with one token each."""
    return {name: tracetui.trace(str(models[name].folder), tokens=IDS, generate=3, eos=[]) for name in FAMILIES}


@pytest.fixture(scope="module")
def traced(models: Mapping[str, Family]) -> Mapping[str, Trace]:
    return {name: tracetui.trace(models[name].model, input_ids=models[name].ids) for name in FAMILIES}


def block(trace: Trace, role: str = "conv") -> str:
    return next(record.module for record in trace.records if record.role == role)


def values(trace: Trace, key: str) -> Any:
    return torch.from_numpy(np.array(trace[key]))


def close(values: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(values, expected, atol=2e-5 * float(expected.abs().max()), rtol=2e-4)


def conv_of(conv: Any, given: Any, activate: bool = True) -> Any:
    """A causal convolution [B,C,T]."""
    width = conv.weight.shape[-1]
    padded = F.pad(given, (width - 1, 0))  # [B,C,W-1+T]
    made = sum(padded[..., each : each + given.shape[-1]] * conv.weight[:, 0, each, None] for each in range(width))
    made = made if conv.bias is None else made + conv.bias[:, None]
    return F.silu(made) if activate else made


@pytest.mark.parametrize("family", FAMILIES)
def test_traced_is_plain_to_the_bit(models: Mapping[str, Family], traced: Mapping[str, Trace], family: str) -> None:
    np.testing.assert_array_equal(traced[family]["logits"], models[family].logits)
    assert sys.getprofile() is None


@torch.no_grad()
def test_the_steps_of_mamba(models: Mapping[str, Family], traced: Mapping[str, Trace]) -> None:
    trace, path = traced["mamba"], block(traced["mamba"])
    mixer = models["mamba"].model.get_submodule(path)
    projected = values(trace, f"{path}.in_proj").transpose(1, 2)  # [B,2C,T]
    x, gate = projected.chunk(2, dim=1)
    x = conv_of(mixer.conv1d, x)  # [B,C,T]
    close(values(trace, f"{path}:conv"), x)
    close(values(trace, f"{path}:gate"), gate.transpose(1, 2))
    rank, width = mixer.time_step_rank, mixer.ssm_state_size
    dt, b, c = (x.transpose(1, 2) @ mixer.x_proj.weight.T).split([rank, width, width], dim=-1)
    dt = F.softplus(dt @ mixer.dt_proj.weight.T + mixer.dt_proj.bias)  # [B,T,C]
    for role, expected in (("dt", dt), ("B", b.unsqueeze(2)), ("C", c.unsqueeze(2)), ("x", x.transpose(1, 2))):
        close(values(trace, f"{path}:{role}"), expected)
    state, outputs = torch.zeros(1, x.shape[1], width), []  # [B,C,K]
    for token in range(x.shape[-1]):
        decay = (dt[:, token, :, None] * -mixer.A_log.exp()).exp()  # [B,C,K]
        state = decay * state + dt[:, token, :, None] * b[:, token, None] * x[..., token, None]
        outputs.append((state * c[:, token, None]).sum(-1) + mixer.D * x[..., token])
    close(values(trace, f"{path}:state"), state)
    close(values(trace, f"{path}.out_proj:input"), torch.stack(outputs, 1) * F.silu(gate.transpose(1, 2)))


@torch.no_grad()
def test_the_steps_of_mamba2(models: Mapping[str, Family], traced: Mapping[str, Trace]) -> None:
    trace, path = traced["mamba2"], block(traced["mamba2"])
    mixer = models["mamba2"].model.get_submodule(path)
    heads, size, width = mixer.num_heads, mixer.head_dim, mixer.ssm_state_size
    _, mixed, dt = values(trace, f"{path}.in_proj").split([mixer.intermediate_size, mixer.conv_dim, heads], dim=-1)
    mixed = conv_of(mixer.conv1d, mixed.transpose(1, 2)).transpose(1, 2)  # [B,T,C]
    close(values(trace, f"{path}:conv"), mixed.transpose(1, 2))
    x, b, c = mixed.split([mixer.intermediate_size, width, width], dim=-1)
    x, dt = x.unflatten(-1, (heads, size)), F.softplus(dt + mixer.dt_bias)  # [B,T,H,V] [B,T,H]
    decay = (dt * -mixer.A_log.exp()).exp()  # [B,T,H]
    steps = (("x", x), ("dt", dt), ("decay", decay), ("B", b.unsqueeze(2)), ("C", c.unsqueeze(2)))
    for role, expected in steps:
        close(values(trace, f"{path}:{role}"), expected)
    state, outputs = torch.zeros(1, heads, width, size), []  # [B,H,K,V]
    for token in range(x.shape[1]):
        written = b[:, token, None, :, None] * (dt[:, token, :, None] * x[:, token])[:, :, None]
        state = decay[:, token, :, None, None] * state + written
        outputs.append((state * c[:, token, None, :, None]).sum(2) + mixer.D[:, None] * x[:, token])
    close(values(trace, f"{path}:state"), state)
    close(values(trace, f"{path}:scan_output"), torch.stack(outputs, 1))


@torch.no_grad()
def test_the_steps_of_the_gated_delta_rule(models: Mapping[str, Family], traced: Mapping[str, Trace]) -> None:
    trace, path = traced["qwen3_next"], block(traced["qwen3_next"])
    net = models["qwen3_next"].model.get_submodule(path)
    groups = net.num_v_heads // net.num_k_heads
    b, a = values(trace, f"{path}.in_proj_ba").unflatten(-1, (net.num_k_heads, 2 * groups)).chunk(2, dim=-1)
    beta, dt = b.flatten(2).sigmoid(), F.softplus(a.flatten(2) + net.dt_bias)  # [B,T,H]
    decay = (-net.A_log.exp() * dt).exp()
    close(values(trace, f"{path}:beta"), beta)
    close(values(trace, f"{path}:decay"), decay)
    conv = values(trace, f"{path}:conv").transpose(1, 2)  # [B,T,C]
    q, k, v = conv.split([net.key_dim, net.key_dim, net.value_dim], dim=-1)
    q, k, v = (
        each.unflatten(-1, (-1, size)) for each, size in ((q, net.head_k_dim), (k, net.head_k_dim), (v, net.head_v_dim))
    )
    for role, expected in (("query", q), ("key", k), ("value", v)):
        close(values(trace, f"{path}:{role}"), expected)
    q, k = (each.repeat_interleave(groups, dim=2) for each in (q, k))
    q, k = (each * torch.rsqrt((each * each).sum(-1, keepdim=True) + 1e-6) for each in (q, k))
    state, outputs = torch.zeros(1, net.num_v_heads, net.head_k_dim, net.head_v_dim), []
    for token in range(v.shape[1]):
        state = state * decay[:, token, :, None, None]
        held = (state * k[:, token, ..., None]).sum(2)  # [B,H,V]
        state = state + k[:, token, ..., None] * (beta[:, token, :, None] * (v[:, token] - held))[:, :, None]
        outputs.append((state * q[:, token, ..., None]).sum(2) / net.head_k_dim**0.5)
    close(values(trace, f"{path}:state"), state)
    close(values(trace, f"{path}:scan_output"), torch.stack(outputs, 1))


@torch.no_grad()
def test_the_steps_of_a_short_convolution(models: Mapping[str, Family], traced: Mapping[str, Trace]) -> None:
    trace, path = traced["lfm2"], block(traced["lfm2"])
    conv = models["lfm2"].model.get_submodule(path).conv
    b, c, x = values(trace, f"{path}.in_proj").transpose(1, 2).chunk(3, dim=1)
    made = conv_of(conv, b * x, activate=False)
    close(values(trace, f"{path}:conv"), made)
    close(values(trace, f"{path}.out_proj:input"), (c * made).transpose(1, 2))


@torch.no_grad()
def test_the_steps_of_rg_lru(models: Mapping[str, Family], traced: Mapping[str, Trace]) -> None:
    trace, path = traced["recurrent_gemma"], block(traced["recurrent_gemma"], "state")
    lru = models["recurrent_gemma"].model.get_submodule(path)
    x = values(trace, f"{path}:input")  # [B,T,D]
    apart = x.unflatten(-1, (lru.num_attention_heads, lru.block_width))

    def gate(weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return (torch.einsum("bthi,hij->bthj", apart, weight) + bias).sigmoid().flatten(2)

    log = -8 * gate(lru.recurrent_gate_weight, lru.recurrent_gate_bias) * F.softplus(lru.recurrent_param)
    update = x * gate(lru.input_gate_weight, lru.input_gate_bias) * (1 - (2 * log).exp()).sqrt()
    update[:, 0], decay = (x * gate(lru.input_gate_weight, lru.input_gate_bias))[:, 0], log.exp()
    decay[:, 0] = 0  # A document begins.
    close(values(trace, f"{path}:update"), update)
    close(values(trace, f"{path}:decay"), decay)
    state, outputs = torch.zeros(1, x.shape[-1]), []
    for token in range(x.shape[1]):
        state = decay[:, token] * state + update[:, token]
        outputs.append(state)
    close(values(trace, f"{path}:state"), state)
    close(values(trace, path), torch.stack(outputs, 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_pass_records_the_state_it_ends_with(
    generated: Mapping[str, Trace], models: Mapping[str, Family], family: str
) -> None:
    trace = generated[family]
    chosen = [token.id for token in trace.tokens[0]][: len(IDS) + 2]
    whole = tracetui.trace(models[family].model, input_ids=torch.tensor([chosen]))
    keys = [record.key for record in whole.records if record.role in ROLES]
    assert keys
    for key in keys:
        if key.endswith(":state"):
            close(values(trace, f"{key}@2"), values(whole, key))
        elif f"{key}@2" in trace:
            last = values(whole, key)[..., -1:] if key.endswith(":conv") else values(whole, key)[:, -1:]
            close(values(trace, f"{key}@2"), last)
        else:
            raise AssertionError(f"{key} isn't recorded in the last pass")


def test_axes_have_their_names(traced: Mapping[str, Trace]) -> None:
    told: dict[tuple[str, str], str] = {}
    for family in ("mamba", "mamba2", "qwen3_next"):
        for record in traced[family].records:
            told[family, record.role] = describe(axes_of(record, {}))
    assert told["mamba", "state"] == "[B=1, H=96, K=16]"
    assert told["mamba2", "state"] == "[B=1, H=8, K=16, V=16]"
    assert told["qwen3_next", "decay"] == "[B=1, T=9, H=4]"


def test_the_convolutions_state_is_its_last_inputs(generated: Mapping[str, Trace]) -> None:
    trace = generated["mamba"]
    path = block(trace)
    conv_inputs = torch.cat([values(trace, f"{path}.in_proj{at}") for at in ("", "@1", "@2")], dim=1)  # [B,T,2C]
    x = conv_inputs.transpose(1, 2).chunk(2, dim=1)[0]  # [B,C,T]
    state = values(trace, f"{path}:conv_state@2")
    torch.testing.assert_close(state, x[..., -state.shape[-1] :])


def test_a_stop_names_the_state(models: Mapping[str, Family]) -> None:
    trace = tracetui.trace(str(models["mamba2"].folder), tokens=IDS, stops="layers.0.mixer:state if norm > 1e-6")
    assert [trace.records[hit.index].site for hit in trace.hits] == ["backbone.layers.0.mixer:state"]


def test_a_comparison_finds_the_step_that_differs(models: Mapping[str, Family], traced: Mapping[str, Trace]) -> None:
    model = copy.deepcopy(models["mamba2"].model)
    path = block(traced["mamba2"])
    with torch.no_grad():
        model.get_submodule(path).A_log.add_(0.5)
    difference = tracetui.diff(traced["mamba2"], tracetui.trace(model, input_ids=models["mamba2"].ids))
    assert difference.first is not None
    assert difference.first.site == f"{path}:decay"


def test_where_a_profiler_is_on_it_stays_on(models: Mapping[str, Family]) -> None:
    def profiler(frame: FrameType, event: str, value: object) -> None:
        """Somebody else's."""

    sys.setprofile(profiler)
    try:
        trace = tracetui.trace(models["lfm2"].model, input_ids=models["lfm2"].ids)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert not [record for record in trace.records if record.role == "conv"]
    assert "a profiler is on" in " ".join(trace.run.notes)


@torch.no_grad()
def test_the_state_of_rwkv(tmp_path: Path) -> None:
    family = make_family("rwkv", tmp_path)
    trace = tracetui.trace(family.model, input_ids=family.ids)
    path = block(trace, "state")
    rate = family.model.get_submodule(path).time_decay.exp()  # [H]
    first = family.model.get_submodule(path).time_first
    key, value = values(trace, f"{path}.key"), values(trace, f"{path}.value")  # [B,T,H]
    numerator, denominator, outputs = torch.zeros_like(key[:, 0]), torch.zeros_like(key[:, 0]), []
    for token in range(key.shape[1]):
        now = (first + key[:, token]).exp()
        outputs.append((numerator + now * value[:, token]) / (denominator + now))
        numerator = (-rate).exp() * numerator + key[:, token].exp() * value[:, token]
        denominator = (-rate).exp() * denominator + key[:, token].exp()
    largest = values(trace, f"{path}:state#2").exp()
    close(values(trace, f"{path}:state") * largest, numerator)
    close(values(trace, f"{path}:state#1") * largest, denominator)
    close(values(trace, f"{path}:scan_output"), torch.stack(outputs, 1))


@torch.no_grad()
def test_the_state_of_lightning_attention(tmp_path: Path) -> None:
    family = make_family("minimax", tmp_path)
    trace = tracetui.trace(family.model, input_ids=family.ids)
    path = block(trace, "state")
    module = family.model.get_submodule(path)
    heads = (module.num_attention_heads, 3 * module.head_dim)
    mixed: Any = F.silu(values(trace, f"{path}.qkv_proj"))
    mixed = mixed.unflatten(-1, heads)  # [B,T,H,3K]
    _, key, value = mixed.chunk(3, dim=-1)
    state = torch.zeros(1, heads[0], module.head_dim, module.head_dim)  # [B,H,K,V]
    for token in range(key.shape[1]):
        state = (-module.slope_rate).exp() * state + key[:, token, ..., None] * value[:, token, :, None]
    close(values(trace, f"{path}:state"), state)
