"""Building a model's module tree from a recipe, with no memory for weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from threading import RLock
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tracetui.errors import InputError, RunError
from tracetui.formats.collector import collector_paused
from tracetui.models.causal_class import causal_class
from tracetui.models.config_help.unread import unread_fields
from tracetui.models.deepseek_gate import put_reference_gates
from tracetui.models.pass_through import pass_through
from tracetui.recipe import Layers, Recipe
from tracetui.recipe.reference import is_reference
from tracetui.text import size, visible

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_CHOSEN_HERE = frozenset(
    {
        "dtype", "torch_dtype", "quantization_config", "quantization", "compression_config", "auto_map",
        "return_dict", "use_return_dict", "output_attentions", "output_hidden_states", "torchscript",
    }
)  # fmt: skip
"""What a file may say of loading and running a model, which tracetui does in its own way."""
_KERNEL = "_implementation"
"""In the name of a field by which a stranger's file could have a kernel fetched and run."""
_WRITTEN_FLOAT = "__float__"
_MAX_BUFFER_BYTES = 2**30
_LAYER_LISTS = ("layers", "layer", "h", "blocks")


DTYPE_LOCK = RLock()
"""Held by whoever has transformers build a model: it sets torch's default dtype meanwhile, which is the process's.

Of two at once each would build in the other's dtype, and leave that one behind as the default.
"""
_OWN_CODE_NOTE = "auto_map: the folder brings code of its own, which is never run; transformers' own model is built"


@dataclass(frozen=True, eq=False, slots=True)
class BuiltModel:
    """A model whose parameters are on meta, except those of layers that were not asked for: they have none."""

    module: PreTrainedModel
    config: PreTrainedConfig
    dtype: torch.dtype
    notes: tuple[str, ...] = ()


def build_model(recipe: Recipe, dtype: torch.dtype) -> BuiltModel:
    """The model of a recipe, one at a time. The process's default dtype is another while it works.

    Raises InputError if transformers doesn't know the model or refuses its configuration.
    """
    # It imports the model's classes.
    with DTYPE_LOCK, collector_paused():
        return _built(recipe, dtype)


def _built(recipe: Recipe, dtype: torch.dtype) -> BuiltModel:
    config = _config(recipe)
    _check_decoder(config, recipe)
    model_class = causal_class(str(recipe.config["model_type"]), config, recipe.origin)
    try:
        with torch.device("meta"):
            module = model_class._from_config(config, dtype=dtype)
    except Exception as error:  # whatever a constructor raises for a value that it can't use
        problem = f"transformers can't build such a model: {type(error).__name__}: {visible(str(error), 200)}"
        raise InputError(f"{recipe.origin}: config: {problem}") from error
    if is_reference(recipe.config):
        put_reference_gates(module)
    module.eval()
    _check_causal(module, recipe)
    _check_constant(module, recipe)
    _check_layer_count(module, recipe)
    _fill_buffers(module, recipe.origin)
    _skip_layers(module, recipe.layers, recipe.layer_count)
    own_code = (_OWN_CODE_NOTE,) if "auto_map" in recipe.config else ()
    return BuiltModel(module, config, dtype, (*own_code, *unread_fields(recipe, config)))


def _config(recipe: Recipe) -> PreTrainedConfig:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    # A copy to the bottom: transformers writes defaults into the nested tables that it is given.
    passed = {n: value for n, value in recipe.config.items() if n not in _CHOSEN_HERE and _KERNEL not in n}
    fields = {name: _float(value) for name, value in copy.deepcopy(passed).items()}
    model_type = str(fields.pop("model_type"))
    try:
        config_class = CONFIG_MAPPING[model_type]
    except KeyError:
        problem = f"model_type: transformers knows no {visible(model_type, 80)!r}"
        if "auto_map" in recipe.config:
            problem += ", and the code that the folder brings for it (auto_map) is never run"
        raise InputError(f"{recipe.origin}: {problem}") from None
    try:
        return config_class(**fields)
    except Exception as error:  # whatever a config class's own checks raise
        raise InputError(f"{recipe.origin}: config: {visible(str(error), 300)}") from error


def _float(value: Any) -> Any:
    """A value with the floats that JSON has no number for, as transformers writes them: {"__float__": "Infinity"}."""
    if isinstance(value, list):
        return [_float(item) for item in value]
    if isinstance(value, dict) and value.keys() == {_WRITTEN_FLOAT}:
        return {"Infinity": math.inf, "-Infinity": -math.inf}.get(str(value[_WRITTEN_FLOAT]), math.nan)
    return value


def _check_decoder(config: PreTrainedConfig, recipe: Recipe) -> None:
    """The class of a decoder alone can be built of an encoder-decoder's configuration, and would see no encoder."""
    if getattr(config, "is_encoder_decoder", False):
        kind = visible(str(recipe.config["model_type"]), 80)
        problem = "has an encoder, whose output its decoder reads; tracetui runs causal language models"
        raise InputError(f"{recipe.origin}: model_type: {kind} {problem}")


def _check_causal(module: PreTrainedModel, recipe: Recipe) -> None:
    """An encoder's class can be built as a language model and would predict from what comes after."""
    # The configuration alone doesn't tell: GPT-NeoX's has the field too, and is a decoder whatever it says.
    causal = getattr(module.config, "causal", False) is True
    encoder = not causal and any(vars(part).get("is_decoder") is False for part in module.modules())
    kind = visible(str(recipe.config["model_type"]), 80)
    if encoder:
        raise InputError(f"{recipe.origin}: model_type: {kind} is an encoder; tracetui runs causal language models")
    if getattr(module.config, "attn_type", None) == "bi":
        problem = f"each token of this {kind} sees those after it ('bi'); tracetui runs causal language models ('uni')"
        raise InputError(f"{recipe.origin}: attn_type: {problem}")


def _check_constant(module: PreTrainedModel, recipe: Recipe) -> None:
    """RWKV divides its own weights when it first predicts; weights that come and go can't be followed there."""
    divisor = getattr(module.config, "rescale_every", 0)
    if recipe.config["model_type"] == "rwkv" and isinstance(divisor, int) and divisor > 0:
        problem = (
            f"is {divisor}, by which the model divides its own weights while it runs, where they can't be followed"
        )
        advice = "write 0 there: only float16 needs it, the predictions are the same"
        raise InputError(f"{recipe.origin}: rescale_every: {problem}; {advice}")


def _check_layer_count(module: PreTrainedModel, recipe: Recipe) -> None:
    """Families name it differently: a field that this one doesn't know would leave the class's default."""
    built = getattr(module.config, "num_hidden_layers", None)
    if built != recipe.layer_count and isinstance(built, int) and _layer_list(module, recipe.layer_count) is None:
        problem = f"says {recipe.layer_count} layers in a field that {recipe.config['model_type']} doesn't read"
        raise InputError(f"{recipe.origin}: num_hidden_layers: the file {problem}, and so {built} would be built")


def _fill_buffers(model: PreTrainedModel, origin: str) -> None:
    """Make the buffers that no checkpoint holds (rotary frequencies), and tables of integers that it may hold
    (experts by token id), by transformers' own initialisation.

    Raises InputError for buffers that no real model has: their sizes are the configuration's.
    """
    byte_count = sum(buffer.nbytes for buffer in model.buffers())
    if byte_count > _MAX_BUFFER_BYTES:
        raise InputError(
            f"{origin}: config: its tables of positions would take {size(byte_count)}, too much to be meant"
        )
    for path, module in model.named_modules():
        names = [name for name, buffer in module._buffers.items() if buffer is not None and _is_filled(module, name)]
        for name in names:
            buffer = module._buffers[name]
            assert buffer is not None
            fill = math.nan if buffer.is_floating_point() else 0
            module._buffers[name] = torch.full(buffer.shape, fill, dtype=buffer.dtype, device="cpu")
        if names:
            _initialiser(model, path)._init_weights(module)
    for path, module in model.named_modules():
        if _unfilled(module):
            # The model around it may be what knows the values: it computes them once for all of its layers.
            for outer in _outer_models(model, path):
                outer._init_weights(outer)
        if unfilled := _unfilled(module):
            raise RunError(f"{path}.{unfilled}: transformers gave this buffer no value; the model can't be built")


def _unfilled(module: nn.Module) -> str | None:
    """The name of a buffer of a module's own that still has no value."""
    owned = ((name, buffer) for name, buffer in module._buffers.items() if buffer is not None and not buffer.is_meta)
    return next((name for name, buffer in owned if bool(torch.isnan(buffer).any())), None)


def _is_filled(module: nn.Module, name: str) -> bool:
    """Whether a buffer is no weight: not stored at all, or a stored table of numbers that have no distribution."""
    buffer = module._buffers[name]
    assert buffer is not None
    return name in module._non_persistent_buffers_set or not buffer.is_floating_point()


def _initialiser(model: PreTrainedModel, path: str) -> PreTrainedModel:
    """The innermost model that a module belongs to: each knows how its own modules are filled."""
    return next(_outer_models(model, path))


def _outer_models(model: PreTrainedModel, path: str) -> Iterator[PreTrainedModel]:
    """The models that a module belongs to, the innermost first and the whole last."""
    parts = path.split(".")
    around = (model.get_submodule(".".join(parts[:depth])) for depth in range(len(parts), 0, -1))
    yield from (module for module in around if hasattr(module, "_init_weights"))
    yield model


def _layer_list(model: PreTrainedModel, count: int) -> nn.ModuleList | None:
    """The model's list of `count` decoder layers: of several the one nearest to the table of tokens."""
    lists = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and path.rpartition(".")[2] in _LAYER_LISTS and len(module) == count
    }
    if len(lists) < 2:
        return next(iter(lists.values()), None)
    embedding = model.get_input_embeddings()
    table = next((path for path, module in model.named_modules() if module is embedding), "")
    return lists[min(lists, key=lambda path: _steps_between(path, table))]


def _steps_between(path: str, other: str) -> int:
    """How many steps up and down the tree lie between two modules."""
    parts, others = path.split("."), other.split(".")
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts, others, strict=False)))
    return len(parts) + len(others) - 2 * common


def _skip_layers(model: PreTrainedModel, built: Layers, count: int) -> None:
    layers = _layer_list(model, count)
    if layers is None:
        if len(built) == count:
            return
        raise InputError(f"layers: {type(model).__name__} keeps its layers where tracetui doesn't find them; run all")
    path = next(path for path, module in model.named_modules() if module is layers)
    for index in range(count):
        if index not in built:
            layers[index] = pass_through(f"{path}.{index}", layers[index])
