"""What a folder says of how its weights are quantised: in config.json, or in a file beside it.

What single weights are made of, their bits and groups, is read off the tensors: files mix them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.formats.table import Fields, read_json_object
from tracetui.models.checkpoints.quantised.targets import rank_of
from tracetui.text import visible

ADVICE = "tracetui doesn't read it; --weights random runs the model without it"
_IN_CONFIG = ("quantization_config", "compression_config")
_BESIDE: Mapping[str, str] = {
    "quantize_config.json": "gptq",
    "quant_config.json": "awq",
    "hf_quant_config.json": "modelopt",
}
"""Files beside a config.json that doesn't say it, and the method that writes them."""
_COMPRESSED = (
    *("dense", "float-quantized", "naive-quantized", "int-quantized", "pack-quantized"),
    *("nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized", "mixed-precision"),
)
_MODELOPT = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN", "NVFP4", "MIXED_PRECISION")
_MLX = "quantization"
"""Where mlx-lm says it, beside the same under another name."""
_MLX_AS_THEY_ARE = (
    *(
        "llama",
        "mistral",
        "mixtral",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "gemma2",
        "gemma3_text",
        "phi",
        "phi3",
    ),
    *("olmo2", "olmoe", "smollm3", "granite", "glm4", "seed_oss", "ernie4_5", "cohere", "cohere2", "helium"),
    *("hunyuan_v1_dense", "stablelm", "nemotron"),
)
"""Families whose tensors mlx-lm keeps as they are, but for stacking experts."""
_UNROUNDED = "what quantised modules are given is not rounded, as the form has it"

Block = tuple[int, int]
"""Rows and columns that share a scale."""


@dataclass(frozen=True, slots=True)
class Method:
    """How a folder's weights are quantised, as far as it says so."""

    name: str = ""
    """`gptq`; empty where nothing says it."""
    block: Block | None = None
    """Of float8 weights: rows and columns that share a scale; None where one scale is of all or of a row."""
    other_blocks: tuple[Block, ...] = ()
    """Those of other modules, where a configuration has several."""
    block_targets: tuple[tuple[Block, Sequence[str]], ...] = ()
    """For which modules a configuration names each of several."""
    group_size: int | None = None
    """How many inputs share a scale; 0 or less for all of a row."""
    zeros_are_one_less: bool | None = None
    """Whether zero points are stored one less, as GPTQ did first; None where nothing says it."""
    group_sizes: Mapping[str, int] = field(default_factory=dict)
    """Those of single modules, by their paths, where a configuration names them."""
    layout: str = ""
    """AWQ's `gemm` or `gemv`."""
    has_input_order: bool = False
    """Whether groups are of inputs in another order than they stand in, which a table of the file then has."""
    has_zero_points: bool = False
    """Whether every weight has zero points beside its scales."""
    notes: tuple[str, ...] = ()
    """What is said of the form that isn't done here."""

    def blocks_of(self, module: str) -> frozenset[Block]:
        """What shares a scale in a module's weight, by those of the configuration's targets that fit it best."""
        ranks = {block: rank for block, each in self.block_targets if (rank := rank_of(each, module)) is not None}
        return frozenset(block for block, rank in ranks.items() if rank == min(ranks.values()))

    def group_size_of(self, module: str) -> int | None:
        """How many inputs share a scale in a module's weight."""
        return self.group_sizes.get(module, self.group_size)


def read_method(config: Mapping[str, object], where: str | Path, folder: Path | None = None) -> Method:
    """What a configuration, or a file in the same folder, says of quantised weights.

    Raises InputError naming any method that isn't read.
    """
    if isinstance(table := config.get(_MLX), dict) and "group_size" in table:
        return _mlx(Fields(table, where, f"{_MLX}."), config.get("model_type"))
    for name in _IN_CONFIG:
        table = config.get(name)
        if table is None:
            continue
        if not isinstance(table, dict):
            raise bad_field(where, name, "must be a table", table)
        return _method(Fields(table, where, f"{name}."), name, table.get("quant_method"))
    for file, method in _BESIDE.items() if folder is not None else ():
        path = Path(folder or "") / file
        if path.is_file():
            table = read_json_object(path)
            inner = table.get("quantization")
            if isinstance(inner, dict):
                return _method(Fields(inner, path, "quantization."), "quantization", method)
            return _method(Fields(table, path), file, table.get("quant_method") or method)
    return Method()


def refused(where: str | Path, name: str, method: str) -> InputError:
    """The error about weights in a form that isn't read."""
    return InputError(f"{where}: {name}: the weights are quantised, {visible(method, 60)}; {ADVICE}")


def _method(fields: Fields, name: str, method: object) -> Method:
    reader = _READERS.get(method) if isinstance(method, str) else None
    read = reader(fields) if reader is not None and (name != _IN_CONFIG[1] or reader is _compressed) else None
    if read is None:
        raise refused(fields.where, name, _words_of(fields.found, method))
    return read


def _words_of(table: Mapping[str, object], method: object) -> str:
    """How a configuration calls its method: `compressed-tensors pack-quantized`."""
    names = ("fmt", "quant_algo", "checkpoint_format", "version", "format")
    parts = [method, *(table.get(name) for name in names)]
    return " ".join(part for part in parts if isinstance(part, str)) if method else "of no name"


def _float8(fields: Fields) -> Method | None:
    if fields.found.get("fmt", "e4m3") != "e4m3":
        return None
    is_blocked = fields.found.get("weight_block_size") is not None
    return Method("fp8", _block(fields, "weight_block_size") if is_blocked else None, notes=(_UNROUNDED,))


def _fbgemm(fields: Fields) -> Method:
    return Method("fbgemm_fp8", notes=(_UNROUNDED,))


def _modelopt(fields: Fields) -> Method | None:
    if fields.found.get("quant_algo") not in _MODELOPT:
        return None
    has_cache = fields.found.get("kv_cache_quant_algo") or fields.found.get("kv_cache_scheme")
    return Method("modelopt", notes=(_UNROUNDED, *_cache_note(has_cache)))


def _mlx(fields: Fields, family: object) -> Method:
    mode = fields.found.get("mode", "affine")
    if mode != "affine":
        raise refused(fields.where, _MLX, f"MLX {mode}")
    if family not in _MLX_AS_THEY_ARE:
        raise refused(fields.where, _MLX, f"MLX, of {visible(str(family), 40)}, whose tensors mlx-lm may have changed")
    own = {name: inner for name, inner in fields.found.items() if isinstance(inner, dict)}
    sizes = {
        name: Fields(inner, fields.where, f"{fields.prefix}{visible(name, 60)}.").integer("group_size", least=1)
        for name, inner in own.items()
        if "group_size" in inner
    }
    return Method("mlx", group_size=fields.integer("group_size", least=1), group_sizes=sizes)


def _mxfp4(fields: Fields) -> Method:
    return Method("mxfp4")


def _bitsandbytes(fields: Fields) -> Method:
    return Method("bitsandbytes", notes=(_UNROUNDED,) if fields.found.get("load_in_8bit") is True else ())


def _gptq(fields: Fields) -> Method | None:
    table = fields.found
    form = table.get("checkpoint_format") or table.get("format") or "gptq"
    if form not in ("gptq", "gptq_v2") or table.get("is_marlin_format") is True:
        return None
    if table.get("pack_dtype", "int32") != "int32":
        fields.fail("pack_dtype", "must be int32, of which tracetui reads the words")
    size = fields.integer("group_size", -1, least=-1)
    # Groups that are set before inputs are put in order stay where they stand.
    is_ordered = table.get("desc_act") is True and table.get("static_groups") is not True
    return Method("gptq", group_size=size, zeros_are_one_less=form == "gptq", has_input_order=is_ordered)


def _awq(fields: Fields) -> Method | None:
    table = fields.found
    version = table.get("version") or table.get("format") or "gemm"
    layout = version.lower() if isinstance(version, str) else ""
    if layout not in ("gemm", "gemv", "exllama", "ipex"):
        return None
    field = "group_size" if "group_size" in table else "q_group_size"
    size = fields.integer(field, 128, least=-1)
    return Method("awq", group_size=size, layout="gemv" if layout == "gemv" else "gemm")


def _compressed(fields: Fields) -> Method | None:
    table = fields.found
    groups = [group for group in _tables(table.get("config_groups")).values() if isinstance(group, dict)]
    formats = [table.get("format", "dense"), *(group.get("format") for group in groups)]
    if not all(name is None or name in _COMPRESSED for name in formats):
        return None
    if _tables(table.get("sparsity_config")).get("format", "dense") != "dense":
        fields.fail("sparsity_config", "weights of which some are left out aren't read")
    if _tables(_tables(table.get("transform_config")).get("config_groups")):
        fields.fail("transform_config", "weights of which inputs and outputs are turned first aren't read")
    weights = [_tables(group.get("weights")) for group in groups]
    kept = [name for group in groups if (name := _rounding(_tables(group.get("input_activations"))))]
    activations = f": {', '.join(dict.fromkeys(kept))}" if kept else ""
    blocks = _compressed_blocks(fields, groups)
    block, *others = dict.fromkeys(each for each, _ in blocks) or [None]
    notes = (*((_UNROUNDED + activations,) if kept else ()), *_cache_note(table.get("kv_cache_scheme")))
    return Method(
        "compressed-tensors",
        block=block,
        other_blocks=tuple(other for other in others if other is not None),
        block_targets=tuple(blocks) if others else (),
        group_size=next((size for each in weights if isinstance(size := each.get("group_size"), int)), None),
        has_input_order=bool(weights) and all(each.get("actorder") in ("group", "dynamic", True) for each in weights),
        has_zero_points=bool(weights) and all(each.get("symmetric") is False for each in weights),
        notes=notes,
    )


def _compressed_blocks(fields: Fields, groups: list[dict[str, object]]) -> list[tuple[Block, Sequence[str]]]:
    """What shares a scale where float8 weights have one for each block, or for each group of inputs; and in which
    modules."""
    blocks: list[tuple[Block, Sequence[str]]] = []
    for index, group in enumerate(groups):
        each, listed = _tables(group.get("weights")), group.get("targets")
        targets = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        inner = Fields(each, fields.where, f"{fields.prefix}config_groups.{index}.weights.")
        if each.get("strategy") == "block":
            blocks.append((_block(inner, "block_structure"), targets))
        elif each.get("strategy") == "group" and each.get("type") == "float" and each.get("num_bits") == 8:
            blocks.append(((1, inner.integer("group_size", least=1)), targets))
    return blocks


def _rounding(activations: Mapping[str, object]) -> str:
    """`8-bit float`, where inputs are rounded."""
    bits, kind = activations.get("num_bits"), activations.get("type")
    return f"{bits}-bit {visible(str(kind), 20)}" if isinstance(bits, int) else ""


def _cache_note(scheme: object) -> tuple[str, ...]:
    return ("keys and values are not rounded, as this form's cache does",) if scheme else ()


def _tables(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _block(fields: Fields, field: str) -> Block:
    sizes = fields.found.get(field)
    if (
        not isinstance(sizes, list)
        or len(sizes) != 2
        or not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 2**20 for size in sizes)
    ):
        fields.fail(field, "must be the rows and columns of a block")
    return sizes[0], sizes[1]


_READERS: Mapping[str, Callable[[Fields], Method | None]] = {
    "fp8": _float8,
    "fbgemm_fp8": _fbgemm,
    "modelopt": _modelopt,
    "mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
    "gptq": _gptq,
    "awq": _awq,
    "compressed-tensors": _compressed,
}
"""None of a form of its own of a method that isn't read."""
