"""`python -m tests.device`, or `make device`: what must hold on a GPU, and what tracing costs there.

Each row is printed as soon as it is measured. Ends with 1 where there is no GPU, or something doesn't hold.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from tests.benchmarks.results import Results, show_missed
from tests.device import checks, figures
from tests.device.models import Size, sizes_for

_SECONDS = 360
"""After so many no further part is begun."""
CHECKS = (checks.captured, checks.stops, checks.edits, checks.devices, checks.memory)
FIGURES = (figures.capture, figures.generation, figures.streaming)
Part = Callable[[Results, Size, torch.device], None]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.device", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, for docs/performance.md")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="after so many no further part is begun")
    parser.add_argument("--device", default="cuda:0", help="of several GPUs another one")
    arguments = parser.parse_args(words)
    if not torch.cuda.is_available():
        print("no GPU: nothing was tried (torch.cuda.is_available() says no)", file=sys.stderr)
        return 1
    device = torch.device(arguments.device)
    sizes = sizes_for(torch.cuda.mem_get_info(device)[0])
    return run(device, sizes, arguments.seconds, arguments.json)


def run(device: torch.device, sizes: tuple[Size, ...], seconds: float, json: Path | None) -> int:
    """All parts, the checks first, on the smallest model before larger ones; 1 if anything doesn't hold."""
    results, began = Results(), time.monotonic()
    properties = torch.cuda.get_device_properties(device)
    title = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB; torch {torch.__version__}"
    results.begin("device", title)
    parts: list[tuple[Part, Size]] = [(check, sizes[0]) for check in CHECKS]
    parts += [(figure, size) for size in sizes for figure in FIGURES]
    failed = False
    for part, size in parts:
        if time.monotonic() - began > seconds:
            print(f"  not begun: {part.__name__} of {size.name}: {seconds:.0f} s are over", flush=True)
            continue
        failed = not _done(part, results, size, device) or failed
        if json is not None:
            # After each: what ran is there if a later one fails.
            results.write(json)
    show_missed(results.rows)
    wrong = [row for row in results.rows if row.unit == "wrong" and not row.is_met]
    return 1 if failed or wrong else 0


def _done(part: Part, results: Results, size: Size, device: torch.device) -> bool:
    """Whether a part came to its end; what it raised is printed, and the next one has its turn."""
    try:
        part(results, size, device)
    except Exception:
        print(f"  {part.__name__} of {size.name} failed:", flush=True)
        traceback.print_exc()
        return False
    finally:
        torch.cuda.empty_cache()
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
