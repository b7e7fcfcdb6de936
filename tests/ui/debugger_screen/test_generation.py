"""`g`: the model goes on from its prompt, and every pane follows the pass that is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tracer.recipes import recipe
from tests.ui.driving import driven
from tests.ui.fake import FakeSession
from tests.ui.tiny_llama import PROMPT
from tracetui.analysis.residual_tokens import residual_sizes
from tracetui.debugger.driver import Driver
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.session import Failed
from tracetui.debugger.start_page import page_of_recording
from tracetui.debugger.state import Phase
from tracetui.recipe import Generation, texts
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.stepping import Step
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe
from tracetui.ui.app import TracetuiApp
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.logits.pane import LogitsPane
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.residual_line import ResidualLine
from tracetui.ui.widgets.token_strip import TokenStrip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trace]:
    """A prompt and three tokens more, in a file."""
    path = tmp_path_factory.mktemp("generated") / "t.npz"
    write_trace(trace_recipe(recipe(generation=Generation(3, stop=()), prompts=texts("the answer"))), path)
    return path, read_trace(path)


def test_what_can_go_on_and_what_cannot_is_said() -> None:
    driver = Driver()
    session = FakeSession(driver.heard)
    driver.opened(session)
    assert "nothing is recorded yet" in driver.generate(2)
    driver.run(texts(PROMPT))
    assert driver.generate(2) == "the prompt's run has to end first; c runs it on"
    driver.step(Step.END)
    assert driver.state.phase is Phase.FINISHED
    assert driver.generate(2) == ""
    assert session.calls[-1] == "generate 2"
    assert [driver.state.phase, driver.state.generated] == [Phase.FINISHED, 2]
    assert len(driver.state.tokens) == 19
    assert driver.state.longest == 17
    session.send(Failed("generate: would need 99 positions, and the model has 64"))
    assert driver.generate(1) == ""
    assert driver.state.generated == 3
    driver.run(texts(PROMPT))
    driver.cancel()
    assert driver.generate(1) == "this run was left before its end; r runs the prompt again"


def test_steps_by_pass_stay_at_their_place(recorded: tuple[Path, Trace]) -> None:
    driver = Driver()
    driver.opened(RecordedSession(recorded[1], driver.heard))
    found = recorded[1].find("model.layers.1.self_attn:heads")
    assert found is not None
    driver.jump(found.index)
    keys = []
    while not driver.step(Step.LATER):
        keys.append(driver.state.record.key)
    assert keys == ["model.layers.1.self_attn:heads@1", "model.layers.1.self_attn:heads@2"]
    assert driver.step(Step.LATER) == "no later pass has this place"
    assert driver.pass_back() == ""
    assert driver.state.record.key == keys[0]
    driver.pass_back()
    assert driver.pass_back() == "this is the first pass: the prompt's"
    assert driver.state.record is found
    driver.jump(recorded[1].records[-1].index)
    assert [driver.state.record.key, driver.pass_back(), driver.state.record.key] == ["logits@2", "", "logits@1"]


async def test_g_asks_how_many_and_the_strip_shows_them_apart() -> None:
    async with driven() as app:
        await app.press("enter", "c", "ctrl+g")
        await app.press("x", "enter")
        assert "a number is needed" in app.text()
        await app.press("backspace", "3", "enter")
        assert app.session.calls[-1] == "generate 3"
        strip = app.screen.query_one(TokenStrip)
        assert strip.render().plain.startswith(" 17 + 3 tokens ")
        assert strip.render().plain.rstrip().endswith("»·more│·more│·more")
        assert "pass 2 chose ·more; cache 3.00 KiB for 19 positions" in app.log
        assert app.state.phase is Phase.FINISHED


async def test_a_recording_shows_its_passes(recorded: tuple[Path, Trace]) -> None:
    path, trace = recorded
    app = TracetuiApp(lambda listener: RecordedSession(trace, listener), page_of_recording(trace, path))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        at = trace.find("model.layers.1.self_attn:heads@2")
        assert at is not None
        app.debugger.parts.steps.to(at.index)
        await app.workers.wait_for_complete()
        await pilot.pause()
        picture = app.debugger.query_one(AttentionPane).query_one(Heatmap).data
        prompt = trace.prompt_lengths[0]
        assert [picture.rows.length, picture.columns.length] == [1, prompt + 2]
        assert [picture.rows.first, len(picture.columns.labels)] == [prompt + 1, prompt + 2]
        assert picture.rows.labels == picture.columns.labels[-1:]
        # The table of values counts the same row as the strip and the attention do.
        grid = app.debugger.query_one(ValueGrid)
        assert [grid.subject.first, grid.subject.position(0)] == [(prompt + 1, 0), prompt + 1]
        await pilot.press("5")
        logits = app.debugger.query_one(LogitsPane)
        assert [logits._found.position, logits._pass] == [prompt + 1, 2]
        residual = app.debugger.query_one(ResidualLine)
        assert residual._norms.points == residual_sizes(trace, pass_=2).points
        assert {trace.records[point.index].pass_ for point in residual._norms.points} == {2}
        assert "pass 2" in residual.render_line(3).text
        assert logits._found.predictions[0].token.id == trace.tokens[0][-1].id
        await pilot.press("5")
        assert "positions" in "".join(segment.text for row in app.screen._compositor.render_strips() for segment in row)
        await pilot.press("ctrl+g")
        assert "this is a recording" in str(app.debugger.query_one("StepBar").render())
