"""docs/performance.md and its plots, made from what the benchmarks measured.

Run it with `python -m tests.benchmarks.document FILE.json …`: of a benchmark that several files have, the last counts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.benchmarks.results import Row

_WHOLE = 1000
"""From here on no digits behind the point are told."""
DOCS = Path(__file__).parents[2] / "docs"
GPU = "device"
TITLES = {
    "capture": "A traced forward pass",
    "generation": "A generated token",
    "mixture": "A mixture of experts",
    "hook_path": "From a module's return to its record",
    "start": "Starting",
    "screen": "The screen's answers",
    "reactions": "What a key costs the screen",
    "heatmap": "Heatmaps",
    "opening": "Opening and comparing many records",
    "large": "Comparing large traces",
    "export": "Writing a trace",
    "weights": "Making and streaming weights",
    "gguf": "A GGUF file beside transformers' own loading of it",
    "quantised": "What quantising did, layer by layer",
    "plans": "Planned memory",
    "whole": "All of DeepSeek-V3",
    "ranks": "Merging what many ranks recorded",
    "growth": "How costs grow",
    GPU: "On a GPU",
}
"""The sections in their order; benchmarks that aren't here come last, under their own names."""
INTRODUCTION = """# Performance

Made by `python -m tests.benchmarks.document` from what the benchmarks measured: change nothing here by hand.

Most figures are ratios: two ways of the same work, taken in turn in one run, and divided round by round. A ratio says
the same on most machines; a time doesn't. Each is the median over the rounds, with the first and third quartile behind
it. To measure again, on an otherwise idle machine:

```
make bench ARGS="--rounds 5 --json bench.json"     # all but what follows: about a quarter of an hour
make bench ARGS="whole --json whole.json"          # all 61 layers of DeepSeek-V3
make bench ARGS="plans --json plans.json"          # planned memory: half an hour
make bench ARGS="start opening --json some.json"   # or some rows
python -m tests.benchmarks.document bench.json whole.json plans.json
```

A later file's rows of a benchmark take the place of an earlier one's.
"""
OUTSTANDING = """
## On a GPU

No figures yet: none of this has been measured on a GPU.
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """Rows whose labels end alike, against what grows."""

    label: str
    places: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


PLOTS = {
    "tokens": (": traced", "a traced pass, untraced = 1"),
    "layers": (": traced", "a traced pass, untraced = 1"),
    "experts": (": traced", "a traced pass, untraced = 1"),
    "records": (", each record", "µs for each record"),
}
"""By what grows: how the labels of the rows end, and what their values are."""


def read(paths: Iterable[Path]) -> tuple[list[Row], list[Mapping[str, Any]]]:
    """The rows of all files, and what they were measured on. Of a benchmark in several files the last one's count."""
    rows: dict[str, list[Row]] = {}
    runs = []
    for path in paths:
        content = json.loads(path.read_text())
        runs.append(content)
        known = [Row(**row) for row in content["rows"]]
        for name, group in groupby(known, key=lambda row: row.benchmark):
            rows[name] = list(group)
    order = [*TITLES, *(name for name in rows if name not in TITLES)]
    return [row for name in order for row in rows.get(name, ())], runs


def document(rows: Sequence[Row], runs: Sequence[Mapping[str, Any]]) -> str:
    """The text of docs/performance.md."""
    parts = [INTRODUCTION, *_machines(runs), "", *_targets(rows)]
    for name, group in groupby(rows, key=lambda row: row.benchmark):
        parts += ["", f"## {TITLES.get(name, name)}", "", *_table(list(group))]
        if name == "growth":
            parts += ["", *(f"![{axis}](performance-{axis}.svg)" for axis in PLOTS if list(curves(rows, axis)))]
    return "\n".join([*parts, "" if any(row.benchmark == GPU for row in rows) else OUTSTANDING])


def _targets(rows: Sequence[Row]) -> Iterator[str]:
    """In words, which targets were missed, and by how much."""
    aimed = [row for row in rows if row.target is not None]
    missed = [row for row in aimed if not row.is_met]
    if not aimed:
        return
    yield f"Of {len(aimed)} targets {len(aimed) - len(missed)} are met{'.' if not missed else '; these are not:'}"
    if missed:
        yield ""
    for row in missed:
        unit = f" {row.unit}" if row.unit else ""
        title = TITLES.get(row.benchmark, row.benchmark)
        # A digit more than elsewhere: a miss by a hair is one.
        yield f"- {title}: {row.label}, {row.value:.4g}{unit} where {row.target:g}{unit} was aimed at"


def _machines(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What each file was measured on, of which something counts; what several have in common is said once."""
    counts = {row["benchmark"]: place for place, run in enumerate(runs) for row in run["rows"]}
    for text, group in groupby(enumerate(runs), key=lambda numbered: _machine(numbered[1])):
        measured = (
            row["benchmark"] for place, run in group for row in run["rows"] if counts[row["benchmark"]] == place
        )
        if names := dict.fromkeys(TITLES.get(name, name) for name in measured):
            yield f"{text} Measured there: {'; '.join(names)}."
            yield ""


def _machine(run: Mapping[str, Any]) -> str:
    machine, versions = run["machine"], run["versions"]
    facts = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}"
    facts += f", {machine['gpu']}" if machine.get("gpu") else ""
    known = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "tracetui")
    load = f"load {machine['load']:.1f} at the end" if "load" in machine else ""
    return f"Measured at commit {run['commit']} on: {facts}; {load}. With {known}."


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| | median | quartiles | rounds | against | target |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        unit = f" {row.unit}" if row.unit else ""
        spread = f"{_number(row.low)}–{_number(row.high)}" if row.rounds > 1 else ""
        target = "" if row.target is None else f"≤ {row.target:g}{'' if row.is_met else ', **missed**'}"
        yield f"| {row.label} | {_number(row.value)}{unit} | {spread} | {row.rounds} | {row.of} | {target} |"


def curves(rows: Iterable[Row], axis: str) -> Iterator[Curve]:
    """What is plotted against one thing that grows: a curve for each name that rows have before the common ending."""
    ending, _ = PLOTS[axis]
    known = [row for row in rows if row.benchmark == "growth" and axis in row.sizes and row.label.endswith(ending)]
    labels = sorted({_curve_name(row.label) for row in known})
    for label in labels:
        own = sorted((row for row in known if _curve_name(row.label) == label), key=lambda row: row.sizes[axis])
        columns = zip(*((row.sizes[axis], row.value, row.low, row.high) for row in own), strict=True)
        yield Curve(label, *columns)


def _curve_name(label: str) -> str:
    return label.partition(": ")[2].partition(",")[0]


def plot(axis: str, drawn: Sequence[Curve], path: Path) -> None:
    """One picture, legible on light and on dark ground: nothing behind it, its lines in colours that suit both."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    grey, colours = "#808080", ("#2f81f7", "#d9822b", "#2da44e")
    plain: Any = {"svg.fonttype": "none", "svg.hashsalt": axis, "font.size": 11, "text.color": grey}
    plain |= dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), grey)
    with mpl.rc_context(plain):
        figure, axes = plt.subplots(figsize=(7, 3.4))
        for curve, colour in zip(drawn, colours, strict=False):
            axes.plot(curve.places, curve.values, color=colour, marker="o", label=curve.label)
            axes.fill_between(curve.places, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
        axes.set_xscale("log", base=2 if axis != "records" else 10)
        axes.set_xticks(drawn[0].places, [f"{place:,.0f}" for place in drawn[0].places])
        axes.minorticks_off()
        axes.set_xlabel(axis)
        axes.set_ylabel(PLOTS[axis][1])
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, color=grey, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(drawn) > 1:
            axes.legend(frameon=False)
        figure.savefig(path, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)


def _number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= _WHOLE else f"{value:.3g}"


def main(paths: Sequence[Path], folder: Path = DOCS) -> None:
    """Write the document, and a plot of each thing that grows."""
    rows, runs = read(paths)
    (folder / "performance.md").write_text(document(rows, runs))
    for axis in PLOTS:
        drawn = list(curves(rows, axis))
        if drawn:
            plot(axis, drawn, folder / f"performance-{axis}.svg")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    main([Path(name) for name in sys.argv[1:]])
