"""What watching a forward pass costs, the default stops on, as ratios to the untraced sdpa forward side by side.

Run it with `python -m tests.benchmarks capture`.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.benchmarks.results import Results, ratios
from tracetui.expr.stop import DEFAULT_STOPS
from tracetui.recording.record import ATTN_RESIDUAL, INPUT, Record
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call, record_module
from tracetui.tracer.capture.allocator import settle

TOKENS = (32, 128, 512, 2048)
TARGETS = {
    "captured": {32: 1.08, 128: 1.04, 512: 1.03, 2048: 1.03},
    "statistics": {32: 1.15, 128: 1.10, 512: 1.08},
}
Timed = Callable[[], object]


def small_llama() -> LlamaForCausalLM:
    """The model called "small": hidden 512, 8 layers, 8 heads, 4 kv heads, FFN 1536, vocab 32,000, float32."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=512,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=1536,
        vocab_size=32_000,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).eval()


def with_statistics(trace: Trace) -> Trace:
    trace.all_statistics()
    return trace


def interleaved(ways: dict[str, Timed], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, taken in turn so that the machine's moods hit all alike."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            started = time.perf_counter()
            kept = way()
            seconds[name].append(time.perf_counter() - started)
            del kept
    return seconds


def kept_by_hooks(model: torch.nn.Module, ids: torch.Tensor) -> list[object]:
    """What each module returned, and nothing else: the price of memory that no cache has."""
    kept: list[object] = []
    handles = [each.register_forward_hook(lambda _, args, output: kept.append(output)) for each in model.modules()]
    try:
        with torch.no_grad():
            model(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return kept


def nnsight_ways(ids: torch.Tensor) -> dict[str, Timed]:
    """nnsight saving every module's output, and all that tracetui records, where it is installed."""
    try:
        from nnsight import NNsight
    except ImportError:
        return {}
    # A model of its own: what is read inside of a forward stays rewritten in it.
    model = small_llama()
    records = record_call(model, input_ids=ids, use_cache=False).records
    watched = NNsight(model)
    # nnsight wants values asked for in the order in which they are made.
    outputs = [record.site for record in records if not record.role and not record.part and record.depth]
    reads = [read for record in records if (read := _nnsight_read(watched, record)) is not None]

    def run() -> object:
        saved: list[object] = []
        with watched.trace(input_ids=ids, use_cache=False):
            saved.extend([watched.get(name).output.save() for name in outputs])
        return saved

    def run_equal() -> object:
        saved: list[object] = []
        with watched.trace(input_ids=ids, use_cache=False):
            saved.extend([read().save() for read in reads])
        return saved

    return {"nnsight": run, "nnsight, the same records": run_equal}


def _nnsight_read(watched: Any, record: Record) -> Callable[[], Any] | None:
    """How nnsight gets at what a record holds; None where another one's answer holds it too."""
    module = watched.get(record.module) if record.depth else watched
    if record.role == ATTN_RESIDUAL:
        module = watched.get(f"{record.module}.post_attention_layernorm")
    if record.role in (INPUT, ATTN_RESIDUAL):
        return lambda: module.input
    if record.role in ("q", "heads"):
        kernel = module.source.attention_interface_1
        return (lambda: kernel.inputs) if record.role == "q" else (lambda: kernel.output)
    return None if record.role or record.part else lambda: module.output


def measure(tokens: int, rounds: int, names: Sequence[str] = ()) -> dict[str, list[float]]:
    """Seconds of every way, or of the named ones."""
    model = small_llama()
    ids = torch.randint(0, 32_000, (1, tokens))

    def untraced() -> object:
        with torch.no_grad():
            return model(input_ids=ids, use_cache=False)

    def traced() -> Trace:
        return record_module(model, (), {"input_ids": ids, "use_cache": False}, stops=DEFAULT_STOPS)

    ways: dict[str, Timed] = {
        "untraced": untraced,
        "outputs kept by hooks": lambda: kept_by_hooks(model, ids),
        "captured": traced,
        "looked into": lambda: (trace := traced(), len(trace)),
        "statistics": lambda: with_statistics(traced()),
        **({} if names else nnsight_ways(ids)),
    }
    return interleaved({name: way for name, way in ways.items() if not names or name in names}, rounds)


def main(results: Results, rounds: int = 15) -> None:
    threads = f"{torch.get_num_threads()} threads"
    results.begin("capture", f"Llama of hidden 512, 8 layers; {threads}")
    untraced = {tokens: statistics.median(measure(tokens, rounds, ["untraced"])["untraced"]) for tokens in TOKENS}
    settle()
    for tokens in TOKENS:
        seconds = measure(tokens, rounds)
        for name, taken in seconds.items():
            sizes, target = {"tokens": tokens}, TARGETS.get(name, {}).get(tokens)
            if name != "untraced":
                own = ratios(taken, seconds["untraced"])
                results.add(f"{name}, {tokens} tokens", own, of="the untraced forward", target=target, sizes=sizes)
            before = [each / untraced[tokens] for each in taken]
            label = f"{name}, {tokens} tokens, against malloc as it was"
            results.add(label, before, of="the untraced forward, malloc not yet set", sizes=sizes)


if __name__ == "__main__":
    main(Results())
