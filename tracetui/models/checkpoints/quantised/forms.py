"""The forms of quantised weights that are read: by which names a weight's tensors stand, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from tracetui.models.checkpoints.quantised import (
    bitsandbytes,
    compressed_integers,
    float8,
    fp4,
    group_integers,
    mlx,
)
from tracetui.models.checkpoints.quantised.method import Method
from tracetui.models.checkpoints.quantised.weight import PackedWeight, StoredParts


@dataclass(frozen=True, slots=True)
class QuantisedForm:
    """A way in which a weight stands in several tensors of a file, whose names begin alike."""

    name: str
    mark: str
    """The role of the tensor whose name and dtype tell of the form."""
    endings: Mapping[str, Sequence[str]]
    """How the names of a weight's tensors end, by their roles; the first of several that is there counts."""
    make: Callable[[StoredParts, Method], PackedWeight]
    """Raises InputError for tensors that don't fit together."""
    dtypes: Sequence[torch.dtype] = ()
    """Of the marking tensor; none for any."""
    is_certain: bool = True
    """Whether that tensor alone tells of the form: without the others it means nothing."""
    optional: Sequence[str] = ()
    """Roles that a weight may lack."""
    read_first: Sequence[str] = ()
    """Roles of tensors of a few bytes that are read at once."""
    weight: str = ".weight"
    """What stands for all of the endings in the name of the weight that is made."""
    methods: Sequence[str] = ()
    """The configuration's methods that write it, where the names don't decide; empty for any."""


_GROUP_ENDINGS = {"qweight": [".qweight"], "qzeros": [".qzeros"], "scales": [".scales"], "g_idx": [".g_idx"]}
_FOUR_BIT_ENDINGS = {
    "weight": [""], "largest": [".absmax"], "codes": [".quant_map"],
    "nested_largest": [".nested_absmax"], "nested_codes": [".nested_quant_map"],
}  # fmt: skip


def _four_bits(kind: str) -> QuantisedForm:
    return QuantisedForm(
        f"bitsandbytes {kind}",
        "state",
        {"state": [f".quant_state.bitsandbytes__{kind}"], **_FOUR_BIT_ENDINGS},
        bitsandbytes.four_bit_weight,
        optional=("nested_largest", "nested_codes"),
        read_first=("state",),
        weight="",
    )


FORMS = (
    _four_bits("nf4"),
    _four_bits("fp4"),
    QuantisedForm(
        "bitsandbytes int8",
        "largest",
        {"largest": [".SCB"], "weight": [".weight"], "order": [".weight_format"]},
        bitsandbytes.int8_weight,
        optional=("order",),
        read_first=("order",),
    ),
    QuantisedForm(
        "AWQ", "qweight", _GROUP_ENDINGS, group_integers.awq_weight, optional=("g_idx",), methods=("awq",)
    ),
    QuantisedForm("GPTQ", "qweight", _GROUP_ENDINGS, group_integers.gptq_weight, optional=("g_idx",)),
    QuantisedForm(
        "compressed-tensors",
        "packed",
        {
            "packed": [".weight_packed"], "scale": [".weight_scale"], "shape": [".weight_shape"],
            "zero": [".weight_zero_point"], "g_idx": [".weight_g_idx"],
        },
        compressed_integers.packed_weight,
        dtypes=(torch.int32,),
        optional=("zero", "g_idx"),
        read_first=("shape",),
    ),
    QuantisedForm(
        "compressed-tensors",
        "packed",
        {"packed": [".weight_packed"], "scale": [".weight_scale"], "whole": [".weight_global_scale"]},
        fp4.compressed_weight,
        dtypes=(torch.uint8,),
        optional=("whole",),
    ),
    QuantisedForm(
        "modelopt NVFP4",
        "whole",
        {"whole": [".weight_scale_2"], "weight": [".weight"], "scale": [".weight_scale"]},
        fp4.modelopt_weight,
    ),
    QuantisedForm(
        "MXFP4",
        "blocks",
        {"blocks": ["_blocks"], "scales": ["_scales"]},
        fp4.expert_weight,
        dtypes=(torch.uint8,),
        weight="",
    ),
    QuantisedForm(
        "MLX",
        "weight",
        {"weight": [".weight"], "scales": [".scales"], "biases": [".biases"]},
        mlx.mlx_weight,
        dtypes=(torch.uint32,),
        methods=("mlx",),
    ),
    QuantisedForm(
        "compressed-tensors int8",
        "weight",
        {"weight": [".weight"], "scale": [".weight_scale"], "zero": [".weight_zero_point"]},
        compressed_integers.byte_weight,
        dtypes=(torch.int8,),
        is_certain=False,
        optional=("zero",),
    ),
    QuantisedForm(
        "float8",
        "weight",
        {"weight": [""], "scale": ["_scale_inv", "_scale"]},
        float8.float8_weight,
        dtypes=(float8.FLOAT8,),
        weight="",
    ),
)  # fmt: skip
"""The first that a tensor marks is the weight's."""
