"""What benchmarks measured: rows that are printed as they come, and written as JSON with what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

_PACKAGES = ("torch", "transformers", "numpy", "textual", "nnsight", "tracetui")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured."""

    benchmark: str
    label: str
    value: float
    """The median over the rounds: of ratios taken round by round, where `of` names what they are ratios to."""
    low: float
    high: float
    """The first and the third quartile over the rounds."""
    rounds: int
    of: str = ""
    unit: str = ""
    """Empty for a ratio."""
    target: float | None = None
    """At most so much."""
    sizes: dict[str, float] = field(default_factory=dict)
    """What may grow: tokens, layers, experts, records."""

    def line(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        target = "" if self.target is None else f"   target ≤ {self.target:g}: {'met' if self.is_met else 'MISSED'}"
        spread = f"({self.low:.3g}–{self.high:.3g}, {self.rounds} rounds)" if self.rounds > 1 else ""
        return f"  {self.label:<58} {self.value:7.3f}{unit} {spread}{target}"

    @property
    def is_met(self) -> bool:
        """Whether it is within its target; without one it is."""
        return self.target is None or self.value <= self.target


class Results:
    """The rows of all benchmarks of one run."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._benchmark = ""

    def begin(self, benchmark: str, title: str) -> None:
        """Rows that follow belong to a benchmark."""
        self._benchmark = benchmark
        print(f"{benchmark}: {title}", flush=True)

    def add(
        self,
        label: str,
        values: Sequence[float],
        *,
        of: str = "",
        unit: str = "",
        target: float | None = None,
        sizes: Mapping[str, float] | None = None,
    ) -> None:
        """Print and keep one row; `values` round by round."""
        low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
        median = statistics.median(values)
        row = Row(self._benchmark, label, median, low, high, len(values), of, unit, target, dict(sizes or {}))
        self.rows.append(row)
        print(row.line(), flush=True)

    def write(self, path: Path) -> None:
        """All rows, what they were measured on and with."""
        content = {
            "machine": machine(),
            "versions": versions(),
            "commit": _commit(),
            "rows": [asdict(row) for row in self.rows],
        }
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def ratios(taken: Sequence[float], base: Sequence[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(taken, base, strict=True)]


def machine() -> dict[str, object]:
    """What tells one machine from another, and how busy it was."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "load": os.getloadavg()[0],
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "gpu": _gpu(),
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that are there."""
    known = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return known


def _gpu() -> str:
    """The first one, where torch is loaded and shows one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return ""
    properties = torch.cuda.get_device_properties(0)
    return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.strip() if done.returncode == 0 else ""


def show_missed(rows: Sequence[Row]) -> None:
    """Name the targets that were missed."""
    missed = [f"{row.benchmark}: {row.label}" for row in rows if not row.is_met]
    if missed:
        print(f"missed {len(missed)} of {sum(row.target is not None for row in rows)} targets:", file=sys.stderr)
        print("\n".join(f"  {name}" for name in missed), file=sys.stderr)
