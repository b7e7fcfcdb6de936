"""Opening and comparing large traces, beside an earlier commit: `python -m tests.benchmarks opening`.

Two processes, one with each tracetui, do the same in turn; rows are ratios of their CPU times.
The earlier tracetui is that of COMMIT in this repository, or of the folder that TRACETUI_BEFORE names.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.results import Results, ratios
from tests.benchmarks.workers import COMMIT, Worker, before
from tracetui.recording.npz import write_trace
from tracetui.recording.record import AttentionCall, Record, Token
from tracetui.recording.statistics import of_array
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import ArrayValue, StatisticsValue, Value

RECORDS, LAYERS, ROUNDS = 30_000, 32, 5
TARGETS = {"open": 0.25, "diff": 0.5}
_INSIDE = (
    *("input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn:q", "self_attn:k"),
    *("self_attn:v", "self_attn:heads", "self_attn.o_proj", "self_attn", "post_attention_layernorm", "mlp.gate_proj"),
    *("mlp.up_proj", "mlp.act_fn", "mlp.down_proj:input", "mlp.down_proj", "mlp"),
)
WORK = """
import gc, sys, time
from pathlib import Path
from tracetui.api.differences import diff
from tracetui.recording.npz import read_trace
for line in sys.stdin:
    what, *paths = line.split()
    gc.collect()
    start = time.process_time()
    done = [read_trace(Path(path)) for path in paths]
    if what == "diff":
        start = time.process_time()
        diff(*done)
    print(time.process_time() - start, flush=True)
    del done
"""
"""What each of the two processes does: `open PATH` or `diff A B` a line."""


def sites() -> list[str]:
    """Those of one pass."""
    layers = [f"model.layers.{layer}" for layer in range(LAYERS)]
    return [*(f"{layer}.{inside}" for layer in layers for inside in _INSIDE), *layers, "model.norm", "logits"]


def trace_of(records: int, kept: bool, noise: float = 0.0) -> Trace:
    """A prompt of 4 tokens and as many generated ones as it takes, in a model of width 16."""
    random, names = np.random.default_rng(0), sites()
    made: list[Record] = []
    values: list[Value] = []
    attention: dict[str, AttentionCall] = {}
    for index in range(records):
        pass_, place = divmod(index, len(names))
        site, tokens = names[place], 1 if pass_ else 4
        is_head = site.endswith((":q", ":k", ":v"))
        array = random.normal(size=(1, 2, tokens, 8) if is_head else (1, tokens, 16)).astype(np.float32)
        array *= 1 + noise
        record = Record(index, site, array.shape, "float32", site.count("."), site.rpartition(".")[0], pass_)
        made.append(record)
        values.append(ArrayValue(array) if kept else StatisticsValue(array.shape, "float32", of_array(array)))
        if site.endswith(":q"):
            attention[record.key] = AttentionCall(0.35, True, "sdpa", heads=2, kv_heads=2)
    passes = made[-1].pass_ + 1
    row = tuple(Token(number, b"x") for number in range(4 + passes))
    return Trace(RunInfo("llama"), (row,), made, values, attention, generated=(passes,), cache=(0,) * passes)


def main(results: Results, records: int = RECORDS, rounds: int = ROUNDS) -> None:
    results.begin("opening", f"{records:,} records, CPU time")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        works: dict[str, list[str]] = {}
        for kind, kept in (("values kept", True), ("statistics alone", False)):
            paths = [str(folder / f"{kept}{side}.npz") for side in "ab"]
            for path, noise in zip(paths, (0.0, 1e-6), strict=True):
                write_trace(trace_of(records, kept, noise), Path(path))
            works[f"open, {kind}"] = ["open", paths[0]]
            if kept:
                works["diff"] = ["diff", *paths]
        workers = [Worker(WORK, before(folder)), Worker(WORK, Path(__file__).parents[2])]
        for label, work in works.items():
            taken = [[worker.seconds(*work) for worker in workers] for _ in range(rounds + 1)][1:]
            old, new = zip(*taken, strict=True)
            target = TARGETS[work[0]]
            results.add(label, ratios(new, old), of=f"the same at {COMMIT}", target=target, sizes={"records": records})
        for worker in workers:
            worker.close()


if __name__ == "__main__":
    main(Results())
