"""Quantised weights known by their tensors: files whose configuration doesn't say that they are of such a form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from tracetui.models.checkpoints.safetensors.header import Stored
from tracetui.models.checkpoints.weight_file import StoredTensor

_PACKED_DTYPES = (torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.float8_e4m3fn)


@dataclass(frozen=True, slots=True)
class _PackedForm:
    name: str
    suffix: str
    beside: tuple[str, ...] = ()
    """How the names of tensors end that are there too."""


_FORMS = (
    _PackedForm("GPTQ", ".qweight", (".g_idx",)),
    _PackedForm("AWQ or GPTQ", ".qweight"),
    _PackedForm("bitsandbytes nf4", ".quant_state.bitsandbytes__nf4"),
    _PackedForm("bitsandbytes fp4", ".quant_state.bitsandbytes__fp4"),
    _PackedForm("bitsandbytes, 4 bits", ".absmax"),
    _PackedForm("bitsandbytes, 4 bits", ".quant_map"),
    _PackedForm("bitsandbytes int8", ".SCB"),
    _PackedForm("MXFP4", "_blocks", ("_scales",)),
    _PackedForm("compressed-tensors", ".weight_packed"),
    _PackedForm("modelopt NVFP4", ".weight_scale_2"),
    _PackedForm("MLX", ".scales", (".biases",)),
    _PackedForm("HQQ", ".W_q"),
    _PackedForm("EXL2", ".q_weight"),
    _PackedForm("EXL3", ".trellis"),
    _PackedForm("AQLM", ".codebooks"),
    _PackedForm("QuIP#", ".Qidxs"),
    _PackedForm("VPTQ", ".centroids"),
    _PackedForm("quanto", "._data"),
    _PackedForm("torchao", "_qdata"),
)
"""The first that fits is the form."""
_SUFFIXES = tuple(form.suffix for form in _FORMS)


def packed_form(
    unread: Iterable[str], absent: Iterable[str], tensors: Mapping[str, Stored | StoredTensor]
) -> tuple[str, str] | None:
    """A tensor that holds a weight in a form of fewer bits, and the form's name; None where there is none.

    unread: the file's tensors that no module asks for. absent: the model's tensors that the file lacks.
    """
    names = sorted(unread)
    return _known(names) or _in_place_of_weights(names, list(absent), tensors)


def _known(names: Sequence[str]) -> tuple[str, str] | None:
    there = set(names)
    marked = [name for name in names if name.endswith(_SUFFIXES)]
    for form in _FORMS:
        for name in marked:
            stem = name.removesuffix(form.suffix)
            if stem != name and all(stem + suffix in there for suffix in form.beside):
                return name, form.name
    return None


def _in_place_of_weights(
    names: Sequence[str], absent: Sequence[str], tensors: Mapping[str, Stored | StoredTensor]
) -> tuple[str, str] | None:
    """A packed tensor in a module whose weight is absent, and a text for its form, which is unknown."""
    lacking = {_end(name.removesuffix(".weight")) for name in absent if name.endswith(".weight")}
    for name in names:
        owner = name.rpartition(".")[0]
        if tensors[name].dtype in _PACKED_DTYPES and owner and _end(owner) in lacking:
            return name, "of no name"
    return None


def _end(path: str) -> str:
    """The last parts of a module's path, which whatever stands before them leaves alone."""
    return ".".join(path.split(".")[-4:])
