"""Which of a GGUF file's tensors a model's parameter is made of, by gguf's own tables of names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from tracetui.errors import bad_field
from tracetui.formats.gguf.files import GgufFiles
from tracetui.models.checkpoints.gguf.changes import rows_by_key_head, undone
from tracetui.models.checkpoints.gguf.parts import (
    Joined,
    KeysValues,
    Reordered,
    Reshaped,
    RowsOf,
    Scaled,
    Stacked,
    Transposed,
    WeightPart,
)  # fmt: skip
from tracetui.models.checkpoints.gguf.stored import BlockTensor
from tracetui.models.checkpoints.row_order import halves_order
from tracetui.models.checkpoints.weight_file import WeightFile
from tracetui.recipe.gguf.config import EMBEDDING
from tracetui.recipe.gguf.rope import FACTORS, LONG, SHORT
from tracetui.text import visible

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IN_PAIRS = ("llama", "mistral3", "granite", "granitemoe", "granitehybrid", "smollm3", "arcee", "olmo")
"""Architectures whose queries and keys llama.cpp turns in adjacent pairs, and transformers in halves."""
_SUFFIXES = (".weight", ".bias")
_PAIRED = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
"""The projections whose rows are put in another order, and the field that tells their heads."""
_FUSED = ("q_proj", "k_proj", "v_proj")
_NOT_WEIGHTS = frozenset({FACTORS, LONG, SHORT})
"""What the configuration is read from."""
_ACTIVATIONS = ".input_scale"
_OF_KEYS = ("attn_k", "attn_v", "attn_k_norm")
_LAYER = re.compile(r"^model\.layers\.(\d+)\.")
_NUMBERED = re.compile(r"(model\.(?:altup_projections|altup_unembed_projections))\.(\d+)\.weight")
"""Matrices of which the file has all in one tensor."""
_ALONE = {"down_proj": "ffn_down_exps", "up_proj": "ffn_up_exps"}
"""Parameters of experts that are one tensor in the file."""
_SPELLED = {
    "e_score_correction_bias": "e_score_correction.bias",
    ".expert_bias": ".expert_bias.bias",
    ".dt_bias": ".dt_proj.bias",
}
"""Ends of names, and how gguf's tables have them."""
_WITHOUT_SUFFIX = (".A_log", ".D")
_OTHERWISE = (
    ("model.", "backbone."),
    (".mlp.", ".block_sparse_moe."),
    (".router.", ".router.layer."),
    (".gate.moe_statics.", ".moe_statics."),
)
"""Parts of names that its tables have otherwise."""
_DIRECT = {"router.scale": "blk.{}.ffn_gate_inp.scale", "router.per_expert_scale": "blk.{}.ffn_down_exps.scale"}
"""What its tables lack, by the name within a layer."""
_SCALES_APART = ("gemma4",)
_APART = ("ffn_gate_inp.scale", "ffn_down_exps.scale")
"""Scales beside tensors that are parameters of their own, and the architectures of which they are."""


class _NameMap(Protocol):
    def get_name(self, key: str, try_suffixes: tuple[str, ...]) -> str | None: ...


class GgufNames:
    """The parameters of one model in one file."""

    def __init__(
        self, files: GgufFiles, opened: Mapping[str, WeightFile], model: PreTrainedModel, in_pairs: bool
    ) -> None:
        """in_pairs: whether rows of queries and keys stand in pairs, which transformers turns in halves."""
        self._files = files
        self._opened = opened
        self._config: Any = model.config
        self._modules: Mapping[str, nn.Module] = dict(model.named_modules())
        self._in_pairs = in_pairs
        self._map = _name_map(files.architecture, self._config.num_hidden_layers)
        self._parts: dict[str, WeightPart | None] = {}

    def part(self, name: str) -> WeightPart | None:
        """What a parameter, by transformers' name, is made of; None where the file lacks it."""
        if name not in self._parts:
            self._parts[name] = self._find(name)
        return self._parts[name]

    def spare(self) -> Iterator[str]:
        """The file's tensors that none of the parameters asked for is made of; of layers left out none."""
        used = {tensor.name for part in self._parts.values() if part is not None for tensor in part.tensors}
        layers = {name.split(".")[1] for name in used if name.startswith("blk.")}
        for name in self._files.tensors:
            layer = name.split(".")[1] if name.startswith("blk.") else None
            if (
                layer is not None
                and layer.isdigit()
                and int(layer) < self._config.num_hidden_layers
                and layer not in layers
            ):
                continue
            if name in used or name in _NOT_WEIGHTS or name.endswith(_ACTIVATIONS) or self._is_of_sharing(name):
                continue
            yield name

    def _is_of_sharing(self, name: str) -> bool:
        """Whether a tensor makes keys or values of a layer that takes another's: published files have them all the
        same."""
        parts = name.split(".")
        if len(parts) < 3 or parts[0] != "blk" or parts[2] not in _OF_KEYS:
            return False
        return bool(getattr(self._modules.get(f"model.layers.{parts[1]}.self_attn"), "is_kv_shared_layer", False))

    def _find(self, name: str) -> WeightPart | None:
        module_path, _, parameter = name.rpartition(".")
        if ".experts." in name and parameter not in ("weight", "bias"):
            return self._of_experts(module_path, parameter)
        part = self._stored(self._translated(name)) or self._otherwise(name)
        if part is None:
            return None
        leaf = module_path.rpartition(".")[2]
        if leaf in _PAIRED and self._in_pairs:
            part = self._in_halves(part, name, leaf)
        return undone(part, name, self._modules.get(module_path), self._files.architecture, self._config)

    def _otherwise(self, name: str) -> WeightPart | None:
        """What stands in the file under another name, or in parts."""
        leaf = name.rpartition(".")[0].rpartition(".")[2]
        if name == "lm_head.weight":
            return self._stored(EMBEDDING)
        if leaf == "kv_b_proj":
            keys, values = (self._stored(self._translated(name.replace("kv_b", part))) for part in ("k_b", "v_b"))
            return KeysValues(keys, values) if keys is not None and values is not None else None
        if leaf in _FUSED:
            return self._of_fused(name, leaf)
        if leaf == "in_proj_qkvz":
            return self._by_key_head(name)
        if ".shared_mlp." in name:
            return self._of_shared(name)
        if ".norms." in name:
            return self._norm_of_head(name)
        if (numbered := _NUMBERED.fullmatch(name)) is not None:
            whole = self._stored(self._translated(f"{numbered[1]}.weight"))
            return None if whole is None else RowsOf(whole, int(numbered[2]), 1)
        return self._stored(_DIRECT.get(_LAYER.sub("", name), "").format(_layer(name)))

    def _by_key_head(self, name: str) -> WeightPart | None:
        """Rows of queries, keys and values in one tensor, and those of their gates in another."""
        layer = _layer(name)
        parts = [self._stored(f"blk.{layer}.{tensor}.weight") for tensor in ("attn_qkv", "attn_gate")]
        there = [part for part in parts if part is not None]
        if len(there) < len(parts):
            return None
        stacked = Stacked(there)
        rows = [next(iter(part.shape), 0) for part in there]
        return Reordered(stacked, rows_by_key_head(self._config, rows)) if stacked.shape else stacked

    def _of_shared(self, name: str) -> WeightPart | None:
        """Granite's shared expert, which a model without others has as its feed-forward."""
        for kind in ("_shexp", ""):
            first, up, down = (
                self._stored(f"blk.{_layer(name)}.ffn_{matrix}{kind}.weight") for matrix in ("gate", "up", "down")
            )
            if name.endswith("output_linear.weight") and down is not None:
                return down
            if name.endswith("input_linear.weight") and first is not None and up is not None:
                return Stacked((first, up))
        return None

    def _norm_of_head(self, name: str) -> WeightPart | None:
        """A norm of one head, of all of which the file has one tensor."""
        head, _, rest = name.partition(".norms.")
        number = rest.partition(".")[0]
        whole = self._stored(self._translated(f"{head}.weight"))
        return RowsOf(whole, int(number), 1) if whole is not None and number.isdecimal() else None

    def _of_fused(self, name: str, leaf: str) -> WeightPart | None:
        """Rows of a tensor with queries, keys and values one after another."""
        apart = self._translated(name.replace(leaf, "q_proj")) or ""
        fused = self._stored(apart.replace(".attn_q.", ".attn_qkv."))
        if fused is None:
            return None
        counts = [self._parameter_rows(name.replace(leaf, other)) for other in _FUSED]
        place = _FUSED.index(leaf)
        return RowsOf(fused, sum(counts[:place]), counts[place]) if fused.shape[:1] == (sum(counts),) else None

    def _of_experts(self, path: str, parameter: str) -> WeightPart | None:
        """All experts of a layer in one tensor, which the file has as one for each of their matrices."""
        experts: Any = self._modules[path]
        kind = ".bias" if parameter.endswith("_bias") else ".weight"
        transposed = bool(getattr(experts, "is_transposed", False)) and kind == ".weight"
        layer = f"blk.{_layer(path)}"
        if (matrix := _ALONE.get(parameter.removesuffix("_bias"))) is not None:
            part = self._stored(f"{layer}.{matrix}{kind}")
            return Transposed(part) if part is not None and transposed else part
        fused, gate, up = (self._stored(f"{layer}.ffn_{matrix}_exps{kind}") for matrix in ("gate_up", "gate", "up"))
        if fused is not None:
            return Transposed(fused) if transposed else fused
        if gate is None or up is None:
            return None
        joined = Joined(gate, up, by_turns=not getattr(experts, "is_concatenated", True))
        return Transposed(joined) if transposed else joined

    def _translated(self, name: str) -> str | None:
        """The file's name of a tensor."""
        for ending, other in _SPELLED.items():
            name = name.removesuffix(ending) + other if name.endswith(ending) else name
        if not name.endswith(_SUFFIXES) and not name.endswith(_WITHOUT_SUFFIX):
            name += ".weight"
        spelled = (name, *(name.replace(part, other, 1) for part, other in _OTHERWISE if part in name))
        return next((file for one in spelled if (file := self._map.get_name(one, _SUFFIXES)) is not None), None)

    def _stored(self, name: str | None) -> WeightPart | None:
        if name is None or name not in self._files.tensors:
            return None
        part: WeightPart = self._tensor(name)
        scale = name.removesuffix(".weight") + ".scale"
        if self._files.architecture in _SCALES_APART and scale.endswith(_APART):
            return part
        return Scaled(part, self._tensor(scale)) if scale in self._files.tensors else part

    def _tensor(self, name: str) -> BlockTensor:
        path = self._files.path_of[name]
        return BlockTensor(name, self._opened[str(path)], self._files.tensors[name])

    def _in_halves(self, part: WeightPart, name: str, leaf: str) -> WeightPart:
        """Rows of a projection as transformers has them; of another shape, which is refused later, as they are."""
        shape = self._parameter_shape(name)
        part = reshaped(part, shape)
        return Reordered(part, halves_order(self._heads(name, leaf), shape[0])) if part.shape == shape else part

    def _heads(self, name: str, leaf: str) -> int:
        heads = getattr(self._config, _PAIRED[leaf], None) or self._config.num_attention_heads
        assert isinstance(heads, int)
        if self._parameter_rows(name) % (2 * heads):
            raise bad_field(self._files.path, visible(name, 80), f"must have rows for {heads} heads of an even size")
        return heads

    def _parameter_rows(self, name: str) -> int:
        return next(iter(self._parameter_shape(name)), 0)

    def _parameter_shape(self, name: str) -> tuple[int, ...]:
        """Empty for a parameter that the model doesn't have."""
        path, _, parameter = name.rpartition(".")
        tensor = getattr(self._modules.get(path), parameter, None)
        return () if tensor is None else tuple(tensor.shape)


def _layer(name: str) -> str:
    """The number of the layer that a parameter lies in; empty outside of all."""
    inside = _LAYER.match(name)
    return "" if inside is None else inside[1]


def reshaped(part: WeightPart, shape: tuple[int, ...]) -> WeightPart:
    """The part in a parameter's shape, where only axes of length 1 differ."""
    without = tuple(length for length in part.shape if length != 1)
    return Reshaped(part, shape) if part.shape != shape and without == tuple(x for x in shape if x != 1) else part


def _name_map(architecture: str, layers: int) -> _NameMap:
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    by_name = {name: number for number, name in MODEL_ARCH_NAMES.items()}
    made: _NameMap = get_tensor_name_map(by_name[architecture], layers)
    return made
