"""What quantising did, on the screen: its tables, the line that is chosen, and the way there from a comparison."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from threading import Event

import pytest

from tests.ui.comparing import comparing, faulty, reference, rest
from tests.ui.driving import Driven
from tests.views.quantised.test_tables import REPORT
from tracetui.analysis.quantised.damage import QuantisationReport
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.start_page import StartPage
from tracetui.errors import Cancelled, InputError
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.recording.weight_prints import WeightPrint
from tracetui.ui.app import TracetuiApp
from tracetui.ui.diff_screen.screen import DiffScreen
from tracetui.ui.diff_screen.work import Comparing
from tracetui.ui.quantised_screen.measuring import Quantised, Tell
from tracetui.ui.quantised_screen.screen import QuantisedScreen


class Ready:
    """A measurement that has been made."""

    def run(self, tell: Tell) -> QuantisationReport:
        return REPORT

    def cancel(self) -> None:
        """There is nothing to give up."""


class Endless:
    """One that goes on until it is given up."""

    def __init__(self) -> None:
        self.cancelled = Event()
        self.began = Event()

    def run(self, tell: Tell) -> QuantisationReport:
        tell("model.layers.3", 4, 16)
        self.began.set()
        self.cancelled.wait(10)
        raise Cancelled

    def cancel(self) -> None:
        self.cancelled.set()


@asynccontextmanager
async def measuring(quantised: Quantised, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Driven]:
    app = TracetuiApp(
        lambda listener: RecordedSession(EMPTY_TRACE, listener),
        StartPage("m", recording="nothing"),
        partial(QuantisedScreen, quantised, is_alone=True),
    )
    async with app.run_test(size=size) as pilot:
        yield Driven(app, pilot, [])


async def test_layers_come_first_ranked_with_bars_and_the_chosen_one_in_words() -> None:
    async with measuring(Quantised(("m", "m-q4"), Ready)) as it:
        await rest(it)
        lines = it.text().splitlines()
        assert lines[0].split() == ["quantised", "original", "m", "quantised", "m-q4"]
        assert lines[1].strip() == "KL 0.42 nats a token; the same next token at 80.0%; 3 of 21 weights differ"
        first, second = (next(line for line in lines if line.startswith(f" layers.{n} ")) for n in (1, 0))
        assert lines.index(first) < lines.index(second)
        assert first.count("█") == pytest.approx(10 * second.count("█"), abs=10)
        assert "layers.1 alone: KL 0.21 nats a token" in it.text()
        await it.press("down")
        assert "layers.0 alone: KL 0.021 nats a token" in it.text()
        await it.press("o")
        lines = it.text().splitlines()
        places = [next(at for at, line in enumerate(lines) if line.startswith(f" layers.{n} ")) for n in (0, 1)]
        assert places == sorted(places), "in the order of the model"


async def test_each_table_has_a_key_and_is_copied_as_text() -> None:
    async with measuring(Quantised(("m", "m-q4"), Ready)) as it:
        await rest(it)
        await it.press("4")
        assert "4 ·city" in it.text()
        assert "After token 4 “·city”: KL 1.26 nats" in it.text()
        await it.press("]")
        assert "embed_tokens" in it.text()
        await it.press("]", "[", "[", "[")
        assert "mlp.up_proj" in it.text()
        await it.press("y")
        assert it.app.clipboard.splitlines()[0] == "Single weights swapped alone"


async def test_what_can_not_be_measured_is_said() -> None:
    def refused() -> Ready:
        raise InputError("q.gguf: its model can't be found")

    async with measuring(Quantised(("m", "m-q4"), refused)) as it:
        await rest(it)
        assert "not measured: q.gguf: its model can't be found" in it.text()


async def test_leaving_gives_a_measurement_up() -> None:
    measurement = Endless()
    async with measuring(Quantised(("m", "m-q4"), lambda: measurement)) as it:
        while not measurement.began.is_set():
            await it.pilot.pause()
        await it.pilot.pause()
        assert "model.layers.3, 4 of 16" in it.text()
        await it.pilot.press("escape")
        await it.pilot.pause()
    assert measurement.cancelled.is_set()


def remembering(trace: Trace, sample: float, provenance: str) -> Trace:
    print_ = WeightPrint((8, 8), "float32", provenance, f"{sample}", (sample,) * 64)
    return replace(trace, weights={"model.layers.0.mlp.up_proj.weight": print_})


def sides(provenances: tuple[str, str], measure: Callable[[str], Ready] | None) -> Comparing:
    found = reference()
    a, b = remembering(faulty(found), 1.0, provenances[0]), remembering(found, 1.1, provenances[1])
    return Comparing(a, b, ("a.npz", "b.npz"), measure=measure)


async def test_a_comparison_of_a_quantised_model_opens_it_and_waits_for_the_user() -> None:
    asked: list[str] = []

    def measure(original: str) -> Ready:
        asked.append(original)
        return Ready()

    between = sides(("dequantised", "file"), measure)
    async with comparing(between.a, between.b, (100, 30), between) as it:
        assert is_open(it)
        text = " ".join(it.text().split())
        assert text.startswith("quantised original b.npz quantised a.npz")
        assert "1 of the 1 that both traces remember differ" in text
        assert "Enter measures it" in text
        assert not asked
        await it.press("enter")
        await rest(it)
        assert asked == ["B"]
        assert "layers.1 alone" in it.text()
        await it.press("escape")
        assert not is_open(it)


def is_open(it: Driven) -> bool:
    """Whether the view is on top, and not the diff below it."""
    assert isinstance(it.app.screen, QuantisedScreen | DiffScreen)
    return isinstance(it.app.screen, QuantisedScreen)


async def test_another_comparison_opens_it_only_where_the_user_asks() -> None:
    between = sides(("file", "file"), lambda original: Ready())
    async with comparing(between.a, between.b, (100, 30), between) as it:
        assert not is_open(it)
        await it.press("Q")
        assert is_open(it)


async def test_without_the_models_it_says_what_is_missing() -> None:
    between = sides(("dequantised", "file"), None)
    async with comparing(between.a, between.b, (100, 30), between) as it:
        assert not is_open(it)
        await it.press("Q")
        assert any("this needs both models" in notice for notice in it.notices)
