"""A massive activation, as trained models have: one channel of one MLP's last weight is scaled up."""

from __future__ import annotations

import copy
import re

import torch
from torch import Tensor, nn

_LAST = re.compile(
    r"\.1\.(?:.*\.)?(?:down_proj|fc2|fc_out|w2|wo|dense_4h_to_h|c_proj|output_linear|output\.dense|lin2|ff\.layer_2)"
    r"(?:\.weight)?$"
)
_CHANNEL = 7
_TIMES = 100.0
"""How many times as long as the usual token the longest one's addition becomes."""


@torch.no_grad()
def spiked(model: nn.Module, ids: Tensor, of_input: bool = False) -> nn.Module | None:
    """A copy whose second layer makes one token far longer than the others, by a row or a column of one weight.

    None where its MLP's last weight isn't known.
    """
    path = next((path for path, _ in model.named_parameters() if _LAST.search(path) and "attn" not in path), None)
    if path is None:
        return None
    other = copy.deepcopy(model)
    owner = other.get_submodule(path.rpartition(".")[0])
    layer = other.get_submodule(path[: path.index(".1.") + 2])
    hidden = int(_returned(other, layer, ids).shape[-1])
    part = _part(other.get_parameter(path), isinstance(owner, nn.Linear), hidden, of_input)
    usual = float(_row_norms(other, layer, ids).median())
    for _ in range(2):
        part *= _TIMES * usual / float(_row_norms(other, owner, ids).max())
    return other


def _part(weight: Tensor, is_linear: bool, hidden: int, of_input: bool) -> Tensor:
    """One output's or one input's weights; of experts the outputs stand where there are as many as hidden channels."""
    outputs_first = is_linear or (weight.ndim == 3 and weight.shape[-2] == hidden)
    return weight[..., _CHANNEL, :] if outputs_first != of_input else weight[..., _CHANNEL]


def _row_norms(model: nn.Module, module: nn.Module, ids: Tensor) -> Tensor:
    """Of what a module returns [T]."""
    returned = _returned(model, module, ids)
    norms: Tensor = returned.reshape(-1, returned.shape[-1]).float().norm(dim=-1)
    return norms


def _returned(model: nn.Module, module: nn.Module, ids: Tensor) -> Tensor:
    """The first tensor that a module returns in a pass."""
    returned: list[Tensor] = []
    hook = module.register_forward_hook(
        lambda module, args, output: returned.append(output if isinstance(output, Tensor) else output[0])
    )
    try:
        model(input_ids=ids)
    finally:
        hook.remove()
    return returned[0]
