"""A model cut into stages, a rank each: which modules are on other ranks, and which return what isn't theirs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

_PIPELINE = "transformers.distributed.pipeline_parallel"
_AT_THE_END = "norm"
_FULLY_SHARDED = "torch.distributed.fsdp"


def is_elsewhere(module: nn.Module) -> bool:
    """Whether a module stands in for one that is on another rank, and gives back what it is given."""
    # Where nobody has loaded them there are none.
    known: Any = sys.modules.get(_PIPELINE)
    return known is not None and isinstance(module, known.PipelineIdentityLayer)


def hands_on(modules: Mapping[str, nn.Module]) -> frozenset[str]:
    """The paths of modules that end on another rank: what they return here is what the next stage goes on with."""
    ended = (path.rpartition(".")[0] for path, module in modules.items() if is_elsewhere(module) and _is_last(path))
    return frozenset(path for path in ended if path)


def stages_in(modules: Mapping[str, nn.Module]) -> frozenset[str]:
    """The paths of modules of which a part is on another rank: what they are given here is no input of the whole."""
    inside = (path for path, module in modules.items() if is_elsewhere(module))
    return frozenset(path[:place] for path in inside for place, sign in enumerate(path) if sign == ".")


def must_end(modules: Mapping[str, nn.Module]) -> bool:
    """Whether no call of a model may be left on its way, even by all ranks at once.

    Stages wait for one another's results, and weights that are put together for a call are given back behind it.
    """
    return any(is_elsewhere(module) or _is_put_together(module) for module in modules.values())


def _is_put_together(module: nn.Module) -> bool:
    known: Any = sys.modules.get(_FULLY_SHARDED)
    return known is not None and isinstance(module, known.FSDPModule | known.FullyShardedDataParallel)


def _is_last(path: str) -> bool:
    return path.rpartition(".")[2] == _AT_THE_END
