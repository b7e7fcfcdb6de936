"""What watching a forward pass costs, the default stops on, as ratios to the untraced sdpa forward side by side.

Run it with `python -m tests.benchmarks capture`.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.benchmarks.results import Results, ratios
from tracetui.expr.stop import DEFAULT_STOPS
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


def nnsight_ways(model: LlamaForCausalLM, ids: torch.Tensor) -> dict[str, Timed]:
    """nnsight saving every module's output, where it is installed."""
    try:
        from nnsight import NNsight
    except ImportError:
        return {}
    watched = NNsight(model)
    # nnsight wants outputs asked for in the order in which the modules end.
    records = record_call(model, input_ids=ids, use_cache=False).records
    names = [record.site for record in records if not record.role and not record.part and record.depth]

    def run() -> object:
        saved: list[object] = []
        with watched.trace(input_ids=ids, use_cache=False):
            saved.extend([watched.get(name).output.save() for name in names])
        return saved

    return {"nnsight": run}


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
        "captured": traced,
        "statistics": lambda: with_statistics(traced()),
        **nnsight_ways(model, ids),
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
            if name != "untraced":
                target = TARGETS.get(name, {}).get(tokens)
                own = ratios(taken, seconds["untraced"])
                results.add(
                    f"{name}, {tokens} tokens", own, of="the untraced forward", target=target, sizes={"tokens": tokens}
                )
                before = [each / untraced[tokens] for each in taken]
                label = f"{name}, {tokens} tokens, against malloc as it was"
                results.add(label, before, of="the untraced forward, malloc not yet set", sizes={"tokens": tokens})


if __name__ == "__main__":
    main(Results())
