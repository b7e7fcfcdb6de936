"""How other implementations call the tensors of a checkpoint, and what a conversion has to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tracetui.analysis.checkpoint import OtherName
from tracetui.errors import InputError
from tracetui.models.checkpoints.deepseek_names import reference_name
from tracetui.models.checkpoints.meta_names import meta_name, split_layer
from tracetui.text import visible

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LAYOUTS = ("meta", "deepseek", "hf")
PERMUTED = ("self_attn.q_proj.weight", "self_attn.k_proj.weight")
_PERMUTED_REMARK = (
    "rows stand in another order within each head: Meta turns adjacent pairs of elements (0,1), (2,3), …, "
    "transformers turns element i with i + half of the head"
)
_FUSED_REMARK = "transformers holds several of the file's tensors in this one"
_FAMILIES = {"meta": "llama", "deepseek": "deepseek_v3"}

Naming = Callable[[str], OtherName | None]
"""Maps a checkpoint's name to the other implementation's; None where that has no such tensor."""


def naming(layout: str, model: PreTrainedModel) -> Naming:
    """The names of one of LAYOUTS for a model. Raises InputError if the layout is that of another family."""
    family, kind = _FAMILIES.get(layout), str(model.config.model_type)
    if family is not None and kind != family:
        raise InputError(f"--layout: {layout} names the tensors of a {family}, this model is a {visible(kind, 60)}")
    return {"meta": _meta, "deepseek": _deepseek}.get(layout) or _transformers(model)


def _meta(canonical: str) -> OtherName | None:
    name = meta_name(canonical)
    _, inner = split_layer(canonical)
    return None if name is None else OtherName(name, remark=_PERMUTED_REMARK if inner in PERMUTED else "")


def _deepseek(canonical: str) -> OtherName | None:
    name = reference_name(canonical)
    return None if name is None else OtherName(name)


def _transformers(model: PreTrainedModel) -> Naming:
    """The parameter of transformers' own modules, by its rules for reading a checkpoint."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, rename_source_key

    rules = get_model_conversion_mapping(model, add_legacy=False)
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    renamings = [rule for rule in rules if not isinstance(rule, WeightConverter)]
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}

    def name(canonical: str) -> OtherName | None:
        renamed, fused = rename_source_key(canonical, renamings, converters, model.base_model_prefix, shapes)
        return OtherName(renamed, shapes[renamed], _FUSED_REMARK if fused else "") if renamed in shapes else None

    return name
