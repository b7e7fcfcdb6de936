"""All 61 layers of DeepSeek-V3 at full width, 671 billion parameters: peak memory and minutes.

Run it with `python -m tests.benchmarks whole`, once, on an idle machine: nothing else runs it.
"""

from __future__ import annotations

from tests.benchmarks import weights
from tests.benchmarks.results import Results

HOURS = 3


def main(results: Results) -> None:
    results.begin("whole", "DeepSeek-V3, 61 layers, 17 tokens, random weights made as they are needed")
    ran = weights.tracetui("trace", "deepseek-v3", "--layers", "61", "--keep", "stats", deadline=HOURS * 3600)
    results.add("DeepSeek-V3, 61 layers, 17 tokens", [ran.seconds / 60], unit="minutes", sizes={"layers": 61})
    results.add("its CPU time", [ran.processor / 60], unit="minutes", sizes={"layers": 61})
    results.add("its peak", [ran.peak / 1e9], unit="GB", sizes={"layers": 61})


if __name__ == "__main__":
    main(Results())
