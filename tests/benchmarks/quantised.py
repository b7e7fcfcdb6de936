"""What every layer's quantised weights do by themselves, from that layer on, as a ratio to a whole run for each.

A whole run is one that is traced, as somebody would do it by hand; beside it stands one that records as little as those
from each layer do. The run of the original, from which the layers go on and to which all are compared, is told by
itself.

Run it with `python -m tests.benchmarks quantised`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tests.benchmarks.capture import Timed, interleaved
from tests.benchmarks.results import Results, ratios
from tests.models.hf_files import saved
from tracetui.analysis.quantised.damage import Reference
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.trace import Trace
from tracetui.tracer.capture.allocator import settle
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.quantised.side_by_side import LayerSwap, SideBySide
from tracetui.tracer.quantised.swapping import SwappingModel, logits_of

LAYERS = 12
TARGET = 0.6
_PROMPT = list(range(5, 69))
_SIZES: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}


def ways(folder: Path) -> dict[str, Timed]:
    """Each layer's weights in the original: a run from the prompt on, or from that layer on."""
    plain = saved(folder / "plain", num_hidden_layers=LAYERS, vocab_size=8_000, **_SIZES)
    other = saved(folder / "other", num_hidden_layers=LAYERS, vocab_size=8_000, **_SIZES)
    weights = load_file(plain / "model.safetensors")
    noisy = {name: weight + 0.01 * torch.randn_like(weight) for name, weight in weights.items()}
    save_file(noisy, other / "model.safetensors", {"format": "pt"})
    recipe = with_options(load_recipe(str(plain)), tokens=[_PROMPT])
    model = SwappingModel(recipe, load_recipe(str(other)))
    names = [spec.name for spec in model.specs()]
    layers = {f"model.layers.{n}": [name for name in names if f".layers.{n}." in name] for n in range(LAYERS)}
    reference = Reference(logits_of(model.run(recipe.prompts)), [len(_PROMPT)])

    originals: list[Trace] = []

    def original() -> object:
        originals[:] = [model.run(recipe.prompts)]
        return originals

    tracing = Engine(model.runnable)

    def traced() -> Trace:
        return tracing.run(recipe.prompts, Gate(waits=False, notices=False))

    def whole(run: Callable[[], Trace]) -> object:
        shifts = []
        for own in layers.values():
            with model.swapped(own):
                shifts.append(reference.shift(logits_of(run())))
        return shifts

    def from_each() -> object:
        swaps = [LayerSwap(layer, tuple(own)) for layer, own in reversed(layers.items())]
        runs = SideBySide(model, recipe.prompts).run(originals[0], swaps, lambda swap: None)
        return [reference.shift(run.logits) for run in runs]

    # The original's run is the one before those that go on from it.
    return {
        "traced whole": partial(whole, traced),
        "whole": partial(whole, partial(model.run, recipe.prompts)),
        "the original": original,
        "from each layer": from_each,
    }


def main(results: Results, rounds: int = 5) -> None:
    title = f"{LAYERS} layers swapped by themselves, {len(_PROMPT)} tokens, Llama of hidden 512"
    results.begin("quantised", title)
    settle()
    with tempfile.TemporaryDirectory() as folder:
        seconds = interleaved(ways(Path(folder)), rounds)
    for way in ("traced whole", "whole", "the original"):
        results.add(way, list(np.array(seconds[way]) * 1e3), unit="ms")
    from_each = seconds["from each layer"]
    results.add("from each layer", ratios(from_each, seconds["traced whole"]), of="traced whole", target=TARGET)
    results.add("from each layer, beside runs that record as little", ratios(from_each, seconds["whole"]), of="whole")


if __name__ == "__main__":
    main(Results())
