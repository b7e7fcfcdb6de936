"""How costs grow with tokens, layers, experts and records: `python -m tests.benchmarks growth`.

Small models in which arithmetic is little, so that what tracing adds is seen; the plots of docs/performance.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM

from tests.benchmarks.capture import interleaved
from tests.benchmarks.opening import WORK, trace_of
from tests.benchmarks.results import Results, ratios
from tests.benchmarks.workers import Worker
from tracetui.expr.stop import DEFAULT_STOPS
from tracetui.recording.npz import write_trace
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_module
from tracetui.tracer.capture.allocator import settle

TOKENS, LAYERS, EXPERTS = (32, 128, 512, 2048), (2, 8, 32, 64), (8, 32, 128)
RECORDS = (1_000, 3_000, 10_000, 30_000, 100_000)
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 512, "attn_implementation": "sdpa"}


def llama(width: int, layers: int) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers}
    model: torch.nn.Module = LlamaForCausalLM(LlamaConfig(**sizes, **_HEADS)).eval()
    return model


def mixture(experts: int) -> torch.nn.Module:
    """8 experts a token, by transformers' eager function, which goes through all that are hit."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 32, "num_hidden_layers": 2}
    config = Qwen2MoeConfig(
        **sizes, **_HEADS, shared_expert_intermediate_size=64, num_experts=experts, num_experts_per_tok=8
    )
    model: Any = Qwen2MoeForCausalLM(config).eval()
    model.config._experts_implementation = "eager"
    made: torch.nn.Module = model
    return made


def traced_and_untraced(model: torch.nn.Module, tokens: int) -> tuple[Callable[[], object], Callable[[], Trace]]:
    ids = torch.randint(0, 512, (1, tokens))

    def untraced() -> object:
        with torch.no_grad():
            return model(input_ids=ids, use_cache=False)

    return untraced, lambda: record_module(model, (), {"input_ids": ids, "use_cache": False}, stops=DEFAULT_STOPS)


def main(results: Results, rounds: int = 9) -> None:
    results.begin("growth", "small models and synthetic traces")
    settle()
    for tokens in TOKENS:
        _forward(results, llama(256, 2), tokens, rounds, f"{tokens} tokens", tokens=tokens)
    for layers in LAYERS:
        _forward(results, llama(64, layers), 16, rounds, f"{layers} layers", layers=layers)
    for experts in EXPERTS:
        _forward(results, mixture(experts), 64, rounds, f"{experts} experts", experts=experts)
    _files(results)


def _forward(results: Results, model: torch.nn.Module, length: int, rounds: int, label: str, **sizes: float) -> None:
    untraced, traced = traced_and_untraced(model, length)
    count = len(traced().records)
    seconds = interleaved({"untraced": untraced, "traced": traced}, rounds)
    results.add(f"{label}: traced", ratios(seconds["traced"], seconds["untraced"]), of="untraced", sizes=sizes)
    added = [(a - b) / count * 1e6 for a, b in zip(seconds["traced"], seconds["untraced"], strict=True)]
    results.add(f"{label}: added to each record", added, unit="µs", sizes=sizes)


def _files(results: Results, rounds: int = 3) -> None:
    worker = Worker(WORK, Path(__file__).parents[2])
    with tempfile.TemporaryDirectory() as folder:
        for records in RECORDS:
            paths = [str(Path(folder, f"{side}.npz")) for side in "ab"]
            for path, noise in zip(paths, (0.0, 1e-6), strict=True):
                write_trace(trace_of(records, True, noise), Path(path))
            for work, label in ((["open", paths[0]], "open"), (["diff", *paths], "diff")):
                taken = [worker.seconds(*work) / records * 1e6 for _ in range(rounds + 1)][1:]
                results.add(f"{records:,} records: {label}, each record", taken, unit="µs", sizes={"records": records})
    worker.close()


if __name__ == "__main__":
    main(Results())
