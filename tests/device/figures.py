"""What tracing costs on a GPU, as ratios to the same work untraced, taken in turn."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from tests.benchmarks.results import Results, ratios
from tests.device.models import Size
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import DEFAULT_STOPS
from tracetui.recipe import Generation, Recipe
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_module
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.generation.decoding import Decoder

TARGETS = {32: 1.08, 128: 1.04, 512: 1.03, 2048: 1.03}
"""Those of a processor, for a pass that is captured with the default stops on."""
_ROUNDS = 10
_NEW = 24
_PROMPT = 32


def capture(results: Results, size: Size, device: torch.device, rounds: int = _ROUNDS) -> None:
    """A forward pass: captured, described and with all statistics, and how often the processor waits in it."""
    model = size.model(device)

    def untraced(ids: torch.Tensor) -> object:
        with torch.no_grad():
            return model(input_ids=ids, use_cache=False)

    def captured(ids: torch.Tensor) -> Trace:
        return record_module(model, (), {"input_ids": ids, "use_cache": False}, stops=DEFAULT_STOPS)

    for tokens in size.tokens:
        ids = torch.randint(5, size.vocabulary, (1, tokens), device=device)
        ways: dict[str, Callable[[], object]] = {
            "untraced": partial(untraced, ids),
            "captured": partial(captured, ids),
            "captured and described": partial(lambda ids: len(captured(ids).records), ids),
            "with all statistics": partial(lambda ids: captured(ids).all_statistics(), ids),
        }
        seconds = _interleaved(ways, rounds)
        about = f"{size.name}, {tokens} tokens"
        sizes = {"tokens": tokens, "records": len(captured(ids).records)}
        results.add(f"{about}: untraced", [each * 1e3 for each in seconds["untraced"]], unit="ms", sizes=sizes)
        for name in list(ways)[1:]:
            target = TARGETS.get(tokens) if name == "captured" else None
            own = ratios(seconds[name], seconds["untraced"])
            results.add(f"{about}: {name}", own, of="the untraced forward", target=target, sizes=sizes)
        waits = _waits(ways["captured"]) - _waits(ways["untraced"])
        results.add(f"{about}: waits for the GPU", [waits], unit="more", target=5, sizes=sizes)


def generation(results: Results, size: Size, device: torch.device, rounds: int = 4) -> None:
    """A generated token, traced against untraced; both have weights of their own."""
    model = size.model(device)
    recipe = size.recipe(_PROMPT, device=str(device), generation=Generation(_NEW, stop=()))
    engine = Engine(recipe)
    ids = torch.tensor(recipe.prompts.ids, device=device)  # [1,T]

    def untraced() -> object:
        with torch.no_grad():
            decoder = Decoder(model, ids)
            logits = decoder.prompt()
            for _ in range(_NEW - 1):
                logits = decoder.next(logits.argmax(dim=-1))
        return logits

    def traced() -> object:
        return engine.run(recipe.prompts, Gate(stops=DEFAULT_STOPS, waits=False, edits=EditLog()))

    seconds = _interleaved({"untraced": untraced, "traced": traced}, rounds)
    about, sizes = f"{size.name}, {_NEW} tokens after {_PROMPT}", {"tokens": _NEW}
    results.add(f"{about}: untraced", [each / _NEW * 1e3 for each in seconds["untraced"]], unit="ms a token")
    own = ratios(seconds["traced"], seconds["untraced"])
    results.add(f"{about}: traced", own, of="untraced", target=1.1, sizes=sizes)
    engine.close()


def streaming(results: Results, size: Size, device: torch.device, rounds: int = 2) -> None:
    """Weights that are made, sent and dropped module by module, and such that stay after the first run."""
    for memory, name in ((0, "weights streamed"), (None, "weights that stay")):
        seconds = _seconds_of(size.recipe(_PROMPT, device=str(device), memory=memory), rounds)
        results.add(f"{size.name}, {_PROMPT} tokens: {name}", seconds, unit="s")
        if memory == 0:
            rate = [size.bytes / each / 1e9 for each in seconds]
            results.add(f"{size.name}: made and sent", rate, unit="GB/s")


def _seconds_of(recipe: Recipe, rounds: int) -> list[float]:
    """Of runs of a recipe after the first."""
    engine = Engine(recipe)
    try:
        run = partial(Gate, stops=DEFAULT_STOPS, waits=False)
        return _interleaved({"run": lambda: engine.run(recipe.prompts, run(edits=EditLog()))}, rounds)["run"]
    finally:
        engine.close()


def _interleaved(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way until the GPU has done all, taken in turn; each once before that counts."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            gc.collect()
            torch.cuda.synchronize()
            started = time.perf_counter()
            kept = way()
            torch.cuda.synchronize()
            if number:
                seconds[name].append(time.perf_counter() - started)
            del kept
    return seconds


def _waits(work: Callable[[], object]) -> int:
    """How often the processor waits for the GPU in some work, as far as torch tells: not those for events."""
    with _told() as told:
        work()
    return sum("synchroniz" in str(warning.message) for warning in told)


@contextmanager
def _told() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield told
        finally:
            torch.cuda.set_sync_debug_mode("default")
