"""Runs on several ranks, and merging a gigabyte of their files against reading and writing the same bytes.

Run it with `python -m tests.benchmarks ranks`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks import rank_runs
from tests.benchmarks.capture import interleaved
from tests.benchmarks.results import Results, ratios
from tracetui.paths import replacing
from tracetui.recording.npz import write_trace
from tracetui.recording.parallel import Parallel, Place, shard
from tracetui.recording.ranks.files import gathered_from, rank_paths
from tracetui.recording.ranks.merge import merged_trace
from tracetui.recording.ranks.replicas import ComparedReplicas
from tracetui.recording.record import Record
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import ArrayValue

RANKS, TOKENS, WIDTH, LAYERS = 4, 2048, 1024, 6
TARGET = 1.5
_BLOCK = 4 << 20
_WHOLE = ("input_layernorm", "self_attn.o_proj", "post_attention_layernorm", "mlp.down_proj")
_COLUMNS = {"self_attn.q_proj": 1, "self_attn.k_proj": 1, "self_attn.v_proj": 1, "mlp.gate_proj": 3, "mlp.up_proj": 3}
"""What tensor-parallel ranks have a part of, and how many times as wide as the stream it is."""


def rank_trace(rank: int) -> Trace:
    """About 256 MB, of which the ranks have 192 in common."""
    records: list[Record] = []
    values: list[ArrayValue] = []

    def add(site: str, width: int, place: Place, seed: int) -> None:
        array = np.random.default_rng(seed).standard_normal((1, TOKENS, width), np.float32)
        records.append(Record(len(records), site, array.shape, "float32", 3, place=place))
        values.append(ArrayValue(array))

    for layer in range(LAYERS):
        for number, name in enumerate(_WHOLE):
            add(f"model.layers.{layer}.{name}", WIDTH, Place(), 100 * layer + number)
        for number, (name, times) in enumerate(_COLUMNS.items()):
            width = times * WIDTH // RANKS
            place = shard(2, RANKS, rank, rank * width, width, width * RANKS)
            add(f"model.layers.{layer}.{name}", width, place, 10_000 * (rank + 1) + 100 * layer + number)
    run = RunInfo(parallel=Parallel(RANKS, rank, {"tp": RANKS}, {"tp": rank}))
    return Trace(run, (), records, values, {})


def main(results: Results, rounds: int = 5) -> None:
    results.begin("ranks", "what several ranks cost, and merging what they recorded")
    rank_runs.main(results)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"rank{rank}.npz") for rank in range(RANKS)]
        for rank, path in enumerate(paths):
            write_trace(rank_trace(rank), path)
        output, copy = Path(folder, "run.npz"), Path(folder, "copy")

        def merge() -> None:
            merged = merged_trace(gathered_from(rank_paths(paths)), ComparedReplicas())
            assert not merged.misfits
            write_trace(merged.trace, output)

        merge()
        seconds = interleaved({"merged": merge, "copied": lambda: read_and_write(paths, copy, output)}, rounds)
        total = sum(path.stat().st_size for path in paths)
        label = f"{RANKS} files of {total / 1e9:.2f} GB merged into {output.stat().st_size / 1e9:.2f} GB"
        results.add(label, ratios(seconds["merged"], seconds["copied"]), of="reading and writing them", target=TARGET)


def read_and_write(paths: Sequence[Path], copy: Path, output: Path) -> None:
    """Read every byte of the ranks' files, and write as many as the merged file has, onto the disk."""
    left = output.stat().st_size
    buffer = memoryview(bytearray(_BLOCK))
    with replacing(copy) as target:
        for path in paths:
            with path.open("rb", buffering=0) as file:
                while (count := os.readv(file.fileno(), [buffer])) > 0:
                    target.write(buffer[: min(count, left)])
                    left -= min(count, left)


if __name__ == "__main__":
    main(Results())
