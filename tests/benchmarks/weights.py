"""Making and streaming weights: DeepSeek-V3 at full width against drawing as many numbers, a checkpoint against
from_pretrained. Whole processes, with their peak memory.

Run it with `python -m tests.benchmarks weights`; it takes some minutes and 3 GB of disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.results import Results
from tests.benchmarks.workers import COMMIT, DEADLINE, before, run

DRAW = """
import sys, time, torch
count = int(sys.argv[1])
torch.empty(2**26, dtype=torch.bfloat16).normal_(0.0, 0.02)
made, start = 0, time.perf_counter()
while made < count // 4:
    torch.empty(2**26, dtype=torch.bfloat16).normal_(0.0, 0.02)
    made += 2**26
print((time.perf_counter() - start) / made * count)
"""
"""Seconds for so many normals of bfloat16 as torch draws them, in blocks: a quarter of them is drawn."""
LOADED = """
import sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
with torch.no_grad():
    model(input_ids=torch.tensor([[int(i) for i in sys.argv[2].split(",")]]), use_cache=False)
"""
WRITE = """
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
config = LlamaConfig(hidden_size=2048, num_hidden_layers=16, num_attention_heads=16, num_key_value_heads=4,
                     intermediate_size=8192, vocab_size=32000, dtype="bfloat16")
with torch.device("meta"):
    model = LlamaForCausalLM(config).to(torch.bfloat16)
model = model.to_empty(device="cpu")
for parameter in model.parameters():
    parameter.data.normal_(0.0, 0.02)
model.save_pretrained(sys.argv[1])
"""
STARTED_BY_A_SMALL_ONE = """
import json, os, subprocess, sys, threading, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
overdue = threading.Timer(float(sys.argv[1]), child.kill)
overdue.start()
_, status, used = os.wait4(child.pid, 0)
overdue.cancel()
print(json.dumps([status, time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""
"""The system's count of a process' memory begins with what the one that started it had then."""
HERE = Path(__file__).parents[2]
IDS = "5,8,9,2,77,1034,12,6"


@dataclass(frozen=True, slots=True)
class Ran:
    """One child process."""

    seconds: float
    processor: float
    """Seconds of the processor's, of all threads."""
    peak: int
    """Bytes of resident memory at most."""


def ran(*arguments: str, folder: Path = HERE, deadline: float = DEADLINE) -> Ran:
    """Run Python to its end, with the tracetui of a folder."""
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    environment = {**os.environ, **quiet, "PYTHONPATH": str(folder)}
    starter = [sys.executable, "-S", "-c", STARTED_BY_A_SMALL_ONE, str(deadline)]
    # Before its PYTHONPATH, `python -m` looks into the folder that it is started in.
    done = subprocess.run(
        [*starter, sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    status, seconds, processor, peak = json.loads(done.stdout)
    if status:
        raise RuntimeError(f"{arguments[:3]} ended with {status}, or took more than {deadline:g} s")
    return Ran(seconds, processor, peak)


def tracetui(*arguments: str, folder: Path = HERE, deadline: float = DEADLINE) -> Ran:
    return ran("-m", "tracetui", *arguments, folder=folder, deadline=deadline)


def drawn_numbers() -> int:
    """How many numbers the run of deepseek-v3 draws: what its plan says is made, less the ones of norms."""
    code = (
        "from dataclasses import replace\n"
        "from tracetui.recipe import load_recipe\n"
        "from tracetui.debugger.session import Progress\n"
        "from tracetui.tracer.run import trace_recipe\n"
        "made = 0\n"
        "def emit(event):\n"
        "    global made\n"
        "    made += event.total if isinstance(event, Progress) and event.done == 0 else 0\n"
        "trace_recipe(load_recipe('deepseek-v3'), emit=emit)\n"
        "print(made // 2)\n"
    )
    return int(run([sys.executable, "-c", code]))


def main(results: Results, rounds: int = 3) -> None:
    results.begin("weights", "whole processes, with their peak memory")
    _full_width(results, rounds)
    _checkpoint(results, rounds)


def _full_width(results: Results, rounds: int) -> None:
    count = drawn_numbers()
    statistics_only = ("trace", "deepseek-v3", "--keep", "stats")
    with tempfile.TemporaryDirectory() as name:
        folder = before(Path(name))
        taken = [
            (
                tracetui(*statistics_only),
                tracetui(*statistics_only, folder=folder),
                float(run([sys.executable, "-c", DRAW, str(count)])),
            )
            for _ in range(rounds)
        ]
    label = f"DeepSeek-V3 at full width, 4 layers, {count / 1e9:.1f} G numbers"
    drawn = [now.seconds / seconds for now, _, seconds in taken]
    results.add(label, drawn, of="drawing as many with torch, on one core", target=1.3, sizes={"layers": 4})
    processor = [now.processor / then.processor for now, then, _ in taken]
    results.add("its CPU time", processor, of=f"the same at {COMMIT}", target=0.5, sizes={"layers": 4})
    peaks = [now.peak / 1e9 for now, _, _ in taken]
    results.add("its peak, statistics kept", peaks, unit="GB", target=2.3, sizes={"layers": 4})
    results.add("its peak, values kept", [tracetui("trace", "deepseek-v3").peak / 1e9], unit="GB", sizes={"layers": 4})


def _checkpoint(results: Results, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ran("-c", WRITE, folder)
        size = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))
        pairs = [(tracetui("trace", folder, "--tokens", IDS), ran("-c", LOADED, folder, IDS)) for _ in range(rounds)]
        layer = _largest_layer(Path(folder))
    label = f"a checkpoint of {size / 1e9:.1f} GB, streamed"
    taken = [streamed.seconds / loaded.seconds for streamed, loaded in pairs]
    results.add(label, taken, of="from_pretrained and a forward", target=1.1, sizes={"gigabytes": size / 1e9})
    peaks = [streamed.peak / 1e9 for streamed, _ in pairs]
    results.add(
        f"its peak; the largest layer has {layer / 1e9:.2f} GB", peaks, unit="GB", sizes={"gigabytes": size / 1e9}
    )
    results.add("the peak of from_pretrained", [loaded.peak / 1e9 for _, loaded in pairs], unit="GB")


def _largest_layer(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text())
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    return 2 * (3 * hidden * inner + 2 * hidden * hidden + 2 * hidden * hidden // 4)


if __name__ == "__main__":
    main(Results())
