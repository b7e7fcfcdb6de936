"""What several ranks cost: tracing on each, the memory of each, and how soon Ctrl-C is heard while they are held."""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

import tracetui
from tests.benchmarks.results import Results
from tests.distributed.ranks import on_ranks, spread
from tracetui.models.ranks.spread import Sizes
from tracetui.recipe import Recipe, load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.ranks.debugged import followed_on, leading_on
from tracetui.tracer.ranks.follower import interrupts
from tracetui.tracer.ranks.tracing import TracingRanks

TRACING, MEMORY_MIB, HEARD_SECONDS = 1.05, 300.0, 0.2
_IDS = torch.arange(256)[None]
_MODEL = {
    "hidden_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "intermediate_size": 1536,
    "vocab_size": 4096,
}
_LARGE = {**_MODEL, "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 32_000}


def _llama() -> Any:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_MODEL)).eval()


def _traced(model: Any) -> None:
    tracetui.trace(model, _IDS, use_cache=False).recorded.all_statistics()


def _ratios(model: Any, rounds: int) -> list[float]:
    """Processor time of a traced call over that of a plain one, round by round, in this process."""

    def plain() -> None:
        with torch.no_grad():
            model(_IDS, use_cache=False)

    ways: tuple[Callable[[], None], ...] = (lambda: _traced(model), plain)
    for way in ways:
        way()
    ratios = []
    for _ in range(rounds):
        seconds = []
        for way in ways:
            began = time.process_time()
            way()
            seconds.append(time.process_time() - began)
        ratios.append(seconds[0] / seconds[1])
    return ratios


def _ratios_on_rank(rank: int, model: Any, rounds: int) -> list[float]:
    return _ratios(spread(model, tp_size=2), rounds)


def _peak_on_rank(rank: int, recipe: Recipe) -> float:
    """MiB that a rank had at most, beyond what it began with, its part of the weights and what it recorded."""
    began = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    ranks, local = TracingRanks(Sizes(tensor=2)), []

    def heard(event: Any) -> None:
        local.extend([event.plan.weights] if hasattr(event, "plan") else [])

    trace = ranks.trace(recipe, heard, ())
    recorded = sum({id(value): _nbytes(value) for value in trace.values}.values())
    beside: float = (_status("VmHWM") - began - local[0] - recorded) / 2**20
    return beside


def _nbytes(value: Any) -> int:
    return int(value.read().nbytes)


def _status(name: str) -> int:
    """A number of bytes that the system tells of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def _heard_after(rank: int, recipe: Recipe, rounds: int) -> list[float]:
    """Seconds from Ctrl-C on another rank, while all are held, until the first one has heard of it."""
    ranks = TracingRanks(Sizes(tensor=2))
    model = ranks.made(recipe, lambda event: None)
    seconds = []
    for _ in range(rounds):
        ranks.ranks.gather()
        if rank:
            threading.Timer(0.3, _interrupt, [ranks]).start()
            with interrupts() as is_interrupted:
                try:
                    followed_on(ranks.ranks, model, is_interrupted)
                except KeyboardInterrupt:
                    continue
        leading, heard = leading_on(ranks.ranks, model), threading.Event()
        with leading.listening(heard.set):
            heard.wait(30)
            seconds.append(time.monotonic() - float(ranks.ranks.read(f"struck{ranks.ranks.calls}") or 0))
        leading.ends(interrupted=True)
    return seconds


def _interrupt(ranks: TracingRanks) -> None:
    ranks.ranks.write(f"struck{ranks.ranks.calls}", str(time.monotonic()))
    os.kill(os.getpid(), signal.SIGINT)


def main(results: Results, rounds: int = 9) -> None:
    torch.set_num_threads(1)
    model = _llama()
    alone = statistics.median(_ratios(model, rounds))
    ranks = on_ranks(2, _ratios_on_rank, model, rounds)
    results.add("tracing one process, over its plain call", [alone])
    results.add(
        "tracing on 2 tensor-parallel ranks, over their plain call",
        [max(pair) / alone for pair in zip(*ranks, strict=True)],
        of="the same of one process",
        target=TRACING,
    )
    with tempfile.TemporaryDirectory() as folder:
        recipe = with_options(_recipe(folder), random_tokens=(1, 128), dtype="float32")
        peaks = on_ranks(2, _peak_on_rank, recipe)
        results.add("a rank's peak beside its weights and records", peaks, unit="MiB", target=MEMORY_MIB)
        small = with_options(_recipe(folder, num_hidden_layers=1), random_tokens=(1, 8))
        heard = on_ranks(2, _heard_after, small, rounds)[0]
        results.add("Ctrl-C on another rank is heard after", heard, unit="s", target=HEARD_SECONDS)


def _recipe(folder: str, **changes: int) -> Recipe:
    config = transformers.LlamaConfig(**{**_LARGE, **changes})
    path = Path(folder, f"llama{config.num_hidden_layers}.json")
    config.to_json_file(path)
    return load_recipe(str(path))


if __name__ == "__main__":
    main(Results())
