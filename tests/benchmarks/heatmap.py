"""What a heatmap costs: `python -m tests.benchmarks.heatmap` prints milliseconds, and ratios to the 16 of a frame.

The times depend on the machine; that a frame costs the same at any size of matrix does not.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice

import numpy as np
import numpy.typing as npt
from rich.style import Style
from textual.app import App, ComposeResult

from tests.benchmarks.results import Results
from tests.benchmarks.terminal import Terminal
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.axes import LabelledAxis, MapStyle
from tracetui.views.heatmap.ink import Brush, Ground
from tracetui.views.heatmap.layout import arrange, look
from tracetui.views.heatmap.matrix import HeatmapData, draw, heatmap_data
from tracetui.views.heatmap.pyramid import build
from tracetui.views.heatmap.scale import ScaleKind
from tracetui.views.palette import PALETTES

SIDES = (128, 1024, 4096)
WIDTH, HEIGHT = 120, 40
TARGET_MS = 16.0
FRAME_MS = 3.0
KEYS = 120


def attention(side: int) -> npt.NDArray[np.float32]:
    """Causal probabilities of random scores, the rest masked: [T,S]."""
    scores = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)  # [T,S]
    np.exp(scores, out=scores)
    scores[np.triu_indices(side, 1)] = 0
    scores /= scores.sum(axis=1, keepdims=True)
    scores[np.triu_indices(side, 1)] = -np.inf
    return scores


def seconds(work: Callable[[], object], times: int) -> list[float]:
    """Of the processor, for each of several runs after one to warm up."""
    work()
    taken = []
    for _ in range(times):
        start = time.thread_time()
        work()
        taken.append(time.thread_time() - start)
    return taken


def milliseconds(work: Callable[[], object], times: int) -> float:
    """The median of several runs after one to warm up."""
    return statistics.median(seconds(work, times)) * 1e3


def data_of(values: npt.NDArray[np.float32]) -> HeatmapData:
    words = [f"·token{index % 97}" for index in range(len(values))]
    return heatmap_data(values, LabelledAxis.of("query", len(words), words), LabelledAxis.of("key", len(words), words))


def frame_of(data: HeatmapData, zoom: int | None) -> Callable[[], object]:
    """One frame with the crosshair a cell further each time."""
    styles = MapStyle(*(Style.parse(style) for style in ("on #101010", "#eeeeee", "#888888", "bold", "bold")))
    pyramid = data.pyramids[ScaleKind.LINEAR]
    brush = Brush(PALETTES[0], pyramid.scale, Ground(0x101010, 0xEEEEEE, 0x222222))
    layout = arrange(WIDTH, HEIGHT, data.plan, zoom)
    cells = cycle((place, place // 2) for place in range(0, len(data.values), 3))

    def frame() -> object:
        view = look(layout, data.plan, next(cells), None)
        return draw(data, pyramid, view, brush, PALETTES[0].name, styles)

    return frame


class HeatmapApp(App[None]):
    """A heatmap and nothing else."""

    def compose(self) -> ComposeResult:
        yield Heatmap(data_of(attention(SIDES[-1])))


def main(results: Results) -> None:
    results.begin("heatmap", f"{WIDTH}×{HEIGHT} cells; a frame of 60 a second has 16 ms")
    for side in SIDES:
        values = attention(side)
        data = data_of(values)
        once = milliseconds(partial(build, values), 5)
        fitted, flat = (milliseconds(frame_of(data, zoom), 50) for zoom in (None, 0))
        for label, taken in (("quantise and pyramid", once), ("a frame, fitted", fitted), ("a frame, 1:1", flat)):
            results.add(f"{side}², {label}", [taken], unit="ms", sizes={"side": side})
        frames = sorted(seconds(frame_of(data, None), 200))
        slow = frames[int(len(frames) * 0.95)] * 1e3
        results.add(f"{side}², a frame, fitted: 95 %", [slow], unit="ms", target=FRAME_MS, sizes={"side": side})
    terminal = Terminal([sys.executable, "-m", "tests.benchmarks.heatmap", "app"], WIDTH, HEIGHT)
    try:
        terminal.wait_for(b"query 0", 60)
        for name, setup in (("fitted", b"0"), ("1:1", b"++++++")):
            terminal.press(setup)
            presses = [terminal.press(key) for key in islice(cycle([b"\x1b[C", b"\x1b[B"]), KEYS)]
            answers = sorted(seconds * 1e3 for seconds, _ in presses)
            label = f"{SIDES[-1]}², {name}, key to last byte: 95 %"
            results.add(label, [answers[int(len(answers) * 0.95)]], unit="ms", target=TARGET_MS)
    finally:
        terminal.close()


if __name__ == "__main__":
    HeatmapApp().run() if sys.argv[1:] == ["app"] else main(Results())
