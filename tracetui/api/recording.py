"""Recording a model that exists already, or one that a recipe describes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from tracetui.api.recipes import Ids, Kept, attention_of, chosen_recipe, edits_of, keep_of, stops_of
from tracetui.api.trace import Trace
from tracetui.expr.model_facts import check_all
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.headless import Stops
from tracetui.recipe.model_facts import facts_of_recipe
from tracetui.recording.keep import ATTENTION
from tracetui.recording.trace import Trace as Recorded
from tracetui.views.run.edits import unapplied_lines

if TYPE_CHECKING:
    from torch import nn


@overload
def trace(
    model: str | Path,
    /,
    *,
    prompt: str | None = None,
    prompts: Sequence[str] | None = None,
    tokens: Ids | None = None,
    random_tokens: tuple[int, int] | None = None,
    chat: bool = False,
    system: str | None = None,
    special: bool = True,
    layers: int | str | None = None,
    weights: str | Path | None = None,
    tokenizer: str | Path | None = None,
    dtype: str | None = None,
    seed: int | None = None,
    mla: str | None = None,
    device: str | None = None,
    memory: str | int | None = None,
    keep: Kept = "all",
    attention: str = "qkv",
    lens: int | None = None,
    values: str | int | None = None,
    spill: str | int | None = None,
    spill_folder: str | Path | None = None,
    generate: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    sample_seed: int | None = None,
    eos: Sequence[int] | None = None,
    stops: str | Sequence[str] = (),
    edits: str | Sequence[str] = (),
) -> Trace: ...


@overload
def trace(
    model: nn.Module,
    /,
    *inputs: object,
    keep: Kept = "all",
    attention: str = "qkv",
    stops: str | Sequence[str] = (),
    edits: str | Sequence[str] = (),
    **kwargs: object,
) -> Trace: ...


def trace(
    model: nn.Module | str | Path,
    /,
    *inputs: object,
    keep: Kept = "all",
    attention: str = "qkv",
    stops: str | Sequence[str] = (),
    edits: str | Sequence[str] = (),
    **options: Any,
) -> Trace:
    """Record one forward pass: of a module that you have, or of a recipe's name or file, a model's folder, a hub id.

    A module is called with `inputs` and `options` as they are, under no_grad; its weights, mode and devices stay, and
    whatever it raises comes through, with a note that says in which module.

    A recipe takes the options of the command line: `prompt`, `prompts`, `tokens`, `random_tokens`, `chat`, `system`,
    `special`, `layers`, `weights`, `tokenizer`, `dtype`, `seed`, `mla`, `device`, `memory`, `lens`, `values`,
    `spill`, `spill_folder`, `generate` and how tokens are drawn. Values of a module may take half of the memory that is
    free; what is beyond that is spilled to disk.

    keep: `all`, `stats` (statistics alone), or patterns of sites whose values are kept. attention: `qkv`, or `scores`
    or `probs` to record the full matrices too. stops: nobody waits there, but the trace's `hits` tell which held, and
    where the first NaN and infinity are.
    edits: changes of tensors before the model goes on; one that changed nothing is warned of.
    Raises InputError, and RunError where a recipe's model fails.
    """
    heard = Stops(_with_health(stops_of(stops)))
    if isinstance(model, str | Path):
        if inputs:
            raise TypeError("a recipe's prompt is given as prompt=, prompts= or tokens=")
        recipe = chosen_recipe(str(model), keep=keep, attention=attention, edits=edits, **options)
        names = ("stops", "edits", "keep")
        check_all(heard.stops, recipe.edits, recipe.keep, facts_of_recipe(recipe), names)
        from tracetui.tracer.run import trace_recipe

        recorded = trace_recipe(recipe, emit=heard.hear, stops=heard.stops, names=names)
        return _told(recorded, heard)
    if isinstance(model, type) or not hasattr(model, "named_modules"):
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"an nn.Module, or a recipe's name or path is needed, got {kind}")
    from tracetui.tracer.call import record_module

    roles = ATTENTION[attention_of(attention)]
    changes = edits_of(edits)
    names = ("stops", "edits", "keep")
    recorded = record_module(
        model, inputs, options, keep_of(keep), roles, heard.stops, changes, heard.hear, names=names
    )
    return _told(recorded, heard)


def _with_health(stops: Sequence[Stop]) -> tuple[Stop, ...]:
    """The stops, and the default ones beside them that nobody has given in a form of their own."""
    own = {stop.text for stop in stops}
    return (*(stop for stop in DEFAULT_STOPS if stop.text not in own), *stops)


def _told(recorded: Recorded, heard: Stops) -> Trace:
    for line in unapplied_lines(heard.edits):
        warnings.warn(line, stacklevel=3)
    return Trace(recorded, heard.hits)
