"""What a trace tells of the run that made it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from tracetui import __version__
from tracetui.expr.edit import Edit
from tracetui.models.built_config import as_built
from tracetui.models.devices.chosen import CPU, device_name
from tracetui.models.module_tree import KnownModel
from tracetui.models.ranks.parallel import parallel_of
from tracetui.models.runnable import Runnable
from tracetui.recipe import Prompts
from tracetui.recording.trace import RunInfo


def run_info_of(runnable: Runnable, known: KnownModel, prompts: Prompts, edits: Sequence[Edit]) -> RunInfo:
    """Of a run that begins now. known: of the runnable's own model."""
    import transformers

    recipe = runnable.recipe
    ran = replace(recipe, prompts=prompts, edits=tuple(edits))
    told, config = runnable.described(ran)
    parallel = parallel_of(runnable.built.module, known)
    return RunInfo(
        model=recipe.name,
        recipe=told,
        config=config,
        as_built=as_built(config, runnable.built.config),
        tokenizer=runnable.tokenizer.name,
        versions={
            "tracetui": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
            **({} if runnable.device == CPU else {"device": device_name(runnable.device)}),
        },
        notes=(*runnable.notes, *(() if parallel is None else parallel.notes)),
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        parallel=parallel,
    )


def keep_edits(run: RunInfo, plain: list[str]) -> None:
    """What was changed while a run waited belongs to what it takes to do the same again."""
    if isinstance(run.recipe, dict):
        run.recipe["edits"] = plain
