"""A recipe's model on several ranks: built without memory, cut as transformers' plans say, and each part made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any
from zlib import crc32

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.session import Module
from tracetui.errors import InputError, in_words
from tracetui.models.build import BuiltModel
from tracetui.models.memory.recorded import widths
from tracetui.models.outline import outline_of
from tracetui.models.ranks.stages import is_elsewhere
from tracetui.models.ranks.standing import StandingWeights, specs_of
from tracetui.models.runnable import Runnable, make_runnable
from tracetui.models.weights.available_memory import available_bytes
from tracetui.models.weights.sources import WeightSource
from tracetui.recipe import Recipe
from tracetui.recording.outline import NO_MODULE
from tracetui.text import visible


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many ranks there are along each axis."""

    tensor: int = 1
    pipeline: int = 1
    expert: int = 1

    @property
    def ranks(self) -> int:
        """All of them: those of the experts are those of the tensors."""
        return self.tensor * self.pipeline


@dataclass(frozen=True, eq=False, slots=True)
class SpreadModel(Runnable):
    """A model ready to run on all ranks at once."""

    whole: Module = NO_MODULE
    """The tree of all that the ranks have together."""
    agree: Callable[[int], bool] = lambda number: True
    """Whether all ranks have the same number."""

    def outline(self) -> Module:
        return self.whole

    def plan(self, base: int, tokens: int, rows: int, new: int, steps: bool = False) -> MemoryPlan:
        """Of this rank, beside those of this machine; what it records at most as much as one process would."""
        weights, itemsize = self.weights, self.built.dtype.itemsize
        assert isinstance(weights, StandingWeights)
        here = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        recorded = rows * (tokens + max(0, new - 1)) * itemsize * widths(self.built.module).recorded
        return MemoryPlan(weights.local_bytes, weights.local_bytes, recorded, 0, base, available_bytes() // here)

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        handle = self.built.module.register_forward_pre_hook(self._check_tokens, with_kwargs=True)
        try:
            with torch.inference_mode(False), torch.no_grad():
                yield
        finally:
            handle.remove()

    def _check_tokens(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each pass: ranks with other tokens would add up activations of different texts."""
        ids = kwargs.get("input_ids", args[0] if args else None)
        if isinstance(ids, torch.Tensor) and not self.agree(crc32(ids.cpu().numpy().tobytes())):
            raise InputError("the ranks have other tokens: give all of them the same prompt and seeds")


def spread_model(recipe: Recipe, sizes: Sizes, agree: Callable[[int], bool]) -> SpreadModel:
    """The model on the ranks of this program, without its weights. Raises InputError."""
    outlines: list[Module] = []

    def stands(built: BuiltModel, source: WeightSource) -> StandingWeights:
        check_plans(built.module, sizes, recipe.origin)
        outlines.append(outline_of(recipe, built))
        specs = specs_of(built.module, built.dtype)
        distribute(built.module, sizes, recipe.origin)
        return StandingWeights(built.module, built.dtype, source, specs)

    made = make_runnable(recipe, stands=stands)
    same = {each.name: getattr(made, each.name) for each in fields(Runnable)}
    notes = (*made.notes, *_little_cut(made.built.module, sizes))
    return SpreadModel(**{**same, "notes": notes}, whole=outlines[0], agree=agree)


def check_plans(model: Any, sizes: Sizes, origin: str) -> None:
    """Raise InputError where a model can't be cut in this way, before anything of it is in memory."""
    kind, config = visible(str(model.config.model_type), 60), model.config
    if sizes.tensor > 1 and not model.tp_plan:
        raise InputError(f"--tp: transformers has no tensor-parallel plan for {kind}")
    if sizes.expert > 1 and not model.ep_plan:
        raise InputError(f"--ep: transformers has no expert-parallel plan for {kind}")
    if sizes.pipeline > 1 and not model.pp_plan:
        raise InputError(f"--pp: transformers has no pipeline plan for {kind}")
    if sizes.pipeline > (layers := int(config.num_hidden_layers)):
        raise InputError(f"--pp: {sizes.pipeline} stages of {layers} layers: some would have none")
    cut = {path.rpartition(".")[2] for path, style in model.tp_plan.items() if style in ("colwise", "packed_colwise")}
    for projection, field in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
        heads = getattr(config, field, None)
        if projection in cut and isinstance(heads, int) and heads % sizes.tensor:
            raise InputError(f"{origin}: {field}: {heads} heads can't be shared out among --tp {sizes.tensor} ranks")
    experts = next((len(own) for module in model.modules() for own in _experts(module)), sizes.expert)
    if experts % sizes.expert:
        raise InputError(f"--ep: {experts} experts can't be shared out among {sizes.expert} ranks")


def _experts(module: nn.Module) -> list[torch.Tensor]:
    return [
        own for name, own in module._parameters.items() if own is not None and name == "down_proj" and own.ndim == 3
    ]


def distribute(model: Any, sizes: Sizes, origin: str) -> None:
    """Cut a model that has no memory as transformers' plans say. Raises InputError for what transformers refuses."""
    from transformers.distributed.configuration_utils import DistributedConfig
    from transformers.distributed.pipeline_parallel import apply_pipeline_parallelism
    from transformers.distributed.utils import TransformersDeviceMesh

    shape, names = (sizes.pipeline, 1, 1), ("pp", "dp_replicate", "fsdp")
    experts = (sizes.pipeline, 1, sizes.tensor // sizes.expert, sizes.expert)
    try:
        mesh = TransformersDeviceMesh(
            init_device_mesh("cpu", (*shape, sizes.tensor), mesh_dim_names=(*names, "tp")),
            init_device_mesh("cpu", experts, mesh_dim_names=("pp", "dp_replicate", "efsdp", "ep")),
        )
        wanted = DistributedConfig(tp_size=sizes.tensor, pp_size=sizes.pipeline, ep_size=sizes.expert)
        if sizes.pipeline > 1:
            # First, and not by transformers: its plans would name what is then on other ranks.
            apply_pipeline_parallelism(model, mesh.get_mesh("pp"))
            wanted = replace(wanted, pp_size=1)
            gone = {path for path, module in model.named_modules() if is_elsewhere(module)}
            model.tp_plan = {path: style for path, style in model.tp_plan.items() if path not in gone}
        type(model).maybe_distribute_model(model, wanted, mesh)
    except (ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{origin}: can't be cut among the ranks: {visible(in_words(error), 300)}") from error


def _little_cut(model: nn.Module, sizes: Sizes) -> Iterator[str]:
    """A remark where most of a model is whole on each rank of the plan's."""
    from tracetui.models.ranks.local import local_tensor

    own = list(model.parameters())
    here, whole = sum(local_tensor(each).numel() for each in own), sum(each.numel() for each in own)
    if sizes.tensor > 1 and here > 0.9 * whole:
        yield f"--tp: transformers' plan leaves {here / whole:.0%} of this model whole on each rank"
