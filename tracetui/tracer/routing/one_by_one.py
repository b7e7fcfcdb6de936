"""Experts run one by one, each watched and with weights of its own.

Registered beside transformers' own functions (ALL_EXPERTS_FUNCTIONS). They multiply expert by expert, as the function
that the model would have used does on a CPU, and add up in that function's order, so that the results are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from tracetui.models.ranks.local import local_tensor
from tracetui.models.weights.experts import OWN_PREFIX, SERVED, ExpertWeights, expert_count
from tracetui.tracer.observer import Observer, observer_here

_NAMES = {own: f"{OWN_PREFIX}{own}" for own in SERVED}


@contextmanager
def experts_observed(holders: Iterable[nn.Module]) -> Iterator[None]:
    """Have the experts of modules that go through transformers' interface run here and report to who observes."""
    changed: list[tuple[Any, str]] = []
    try:
        for config in _configs(holders):
            own = str(config._experts_implementation)
            if own in _NAMES:
                changed.append((config, own))
                config._experts_implementation = _NAMES[own]
        yield
    finally:
        for config, own in reversed(changed):
            config._experts_implementation = own


def _configs(holders: Iterable[nn.Module]) -> list[Any]:
    found: dict[int, Any] = {id(module.config): module.config for module in holders}
    return list(found.values())


_Add = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Takes an expert's places among all choices [n], its tokens [n] and its weighted output [n,D]."""


def _by_choice(
    module: nn.Module, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Each token's choices side by side, then their sum, in the precision of the routing weights."""
    tokens, chosen, width = *top_k_index.shape, hidden_states.shape[-1]
    every: torch.Tensor | None = None  # [N·A,D]

    def put(places: torch.Tensor, _: torch.Tensor, part: torch.Tensor) -> None:
        nonlocal every
        if every is None:
            # Its dtype is that of the products. Parts that waited for the last one would take as much beside it.
            every = torch.zeros(tokens * chosen, width, dtype=part.dtype, device=part.device)
        every[places] = part  # [n,D]

    _run(module, hidden_states, top_k_index, top_k_weights, put)
    if every is None:
        return torch.zeros_like(hidden_states)  # [N,D]
    return every.view(tokens, chosen, width).sum(dim=1).to(hidden_states.dtype)  # [N,D]


def _by_expert(
    module: nn.Module, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """Added to the output expert by expert, in the model's own precision."""
    total = torch.zeros_like(hidden_states)  # [N,D]

    def add(_: torch.Tensor, tokens: torch.Tensor, part: torch.Tensor) -> None:
        total.index_add_(0, tokens, part.to(total.dtype))

    _run(module, hidden_states, top_k_index, top_k_weights, add)
    return total


def _run(
    module: nn.Module,
    hidden_states: torch.Tensor,
    top_k_index: torch.Tensor,
    top_k_weights: torch.Tensor,
    add: _Add,
) -> None:
    """Run each expert that was hit on its tokens: hidden states [N,D], index and weights [N,A]."""
    observer = observer_here()
    if observer is not None:
        top_k_index, top_k_weights = observer.experts_in(module, top_k_index, top_k_weights)  # [N,A] [N,A]
    chosen = top_k_index.shape[-1]
    experts, order = torch.sort(top_k_index.reshape(-1), stable=True)  # [N·A]
    hit, counts = torch.unique_consecutive(experts, return_counts=True)  # [hit]
    for expert, places in zip(hit.tolist(), torch.split(order, counts.tolist()), strict=True):  # places [n]
        if not 0 <= expert < expert_count(module):
            continue
        tokens = places // chosen  # [n]
        inputs = hidden_states[tokens]  # [n,D]
        output = _observed(module, expert, tokens, inputs, observer)  # [n,D]
        add(places, tokens, output * top_k_weights.reshape(-1)[places, None])


def _observed(
    module: nn.Module, expert: int, tokens: torch.Tensor, inputs: torch.Tensor, observer: Observer | None
) -> torch.Tensor:
    """One expert's output [n,D] for the tokens at these positions [n], before the routing weights."""
    if observer is None:
        return _forward(module, _own_weights(module, expert), inputs)
    observer.expert_in(expert, tokens, inputs)
    output = _forward(module, observer.expert_weights(module, expert) or _own_weights(module, expert), inputs)
    return observer.expert_out(module, expert, output)


def _own_weights(module: nn.Module, expert: int) -> ExpertWeights:
    return {name: local_tensor(weight)[expert] for name, weight in module._parameters.items() if weight is not None}


def _forward(module: Any, weights: ExpertWeights, inputs: torch.Tensor) -> torch.Tensor:
    """One expert on its tokens [n,D]."""
    made = _linear(module, weights, "gate_up_proj" if module.has_gate else "up_proj", inputs)  # [n,2F] or [n,F]
    inner = module._apply_gate(made) if module.has_gate else module.act_fn(made)  # [n,F]
    output = _linear(module, weights, "down_proj", inner)  # [n,D]
    if module.has_post_expert_norm:
        output = module.post_expert_norm(output)  # [n,D]
    return output


def _linear(module: Any, weights: ExpertWeights, name: str, inputs: torch.Tensor) -> torch.Tensor:
    weight = weights[name]  # [O,I], or [I,O] if transposed
    made = inputs.to(weight.dtype) @ (weight if module.is_transposed else weight.t())  # [n,O]
    return made.add_(weights[f"{name}_bias"]) if module.has_bias else made


for _own in SERVED:
    ALL_EXPERTS_FUNCTIONS.register(_NAMES[_own], _by_expert if _own == "eager" else _by_choice)
