"""`v`: the model's own code behind a record."""

from __future__ import annotations

import threading

from tests.tracer.recipes import recipe
from tests.ui import tiny_llama
from tests.ui.driving import driven
from tests.ui.fake import FakeSession
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.session import Event, Sourced, Stopped, until_first
from tracetui.recipe import texts
from tracetui.tracer.live import LiveSession
from tracetui.ui.dialogs.source import SourceScreen, coloured


async def test_v_shows_the_code_with_its_place_and_foreign_text_does_nothing() -> None:
    async with driven(size=(80, 24)) as app:
        await app.press("enter", "v")
        assert app.session.calls[-1] == f"source {app.state.record.site}"
        assert isinstance(app.app.screen, SourceScreen)
        text = app.text()
        assert "fake/model.py:41" in text
        assert "▸41      def forward(self):" in text
        assert "42          return [1]  # [/b] ␛[31m" in text
        assert "\x1b" not in text
        await app.press("v")
        assert app.top is app.screen


def test_numbers_and_the_mark_stand_beside_every_line() -> None:
    lines = tuple(f"x{place} = {place}" for place in range(12))
    drawn = coloured(Sourced("a", "a", "A", "a.py", 95, lines, 3, "forward")).plain.splitlines()
    assert drawn[0].rstrip() == "  95  x0 = 0"
    assert drawn[3].rstrip() == "▸ 98  x3 = 3"
    assert drawn[11].rstrip() == " 106  x11 = 11"


def test_a_recording_says_what_it_is_and_names_the_class() -> None:
    fake = FakeSession(lambda event: None)
    fake.start(texts(tiny_llama.PROMPT), lambda record: False)
    told: list[Event] = []
    session = RecordedSession(fake._recorder.trace, told.append)
    session.source("model.layers.0.self_attn:q")
    assert isinstance(told[-1], Sourced)
    assert told[-1].error.startswith("this is a recording, and holds no code")


def test_a_model_that_waits_answers_at_once() -> None:
    told: list[Event] = []
    stopped, answered = threading.Event(), threading.Event()

    def heard(event: Event) -> None:
        told.append(event)
        if isinstance(event, Stopped):
            stopped.set()
        elif isinstance(event, Sourced):
            answered.set()

    session = LiveSession(recipe(), heard)
    session.start(recipe().prompts, until_first)
    assert stopped.wait(60)
    session.source("model.layers.1.mlp")
    assert answered.wait(60)
    found = next(event for event in told if isinstance(event, Sourced))
    assert [found.kind, found.path, found.error] == ["LlamaMLP", "model.layers.1.mlp", ""]
    assert session.close(60)
