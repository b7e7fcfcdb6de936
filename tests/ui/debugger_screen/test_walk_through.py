"""From the first screen to the end of a run, as somebody at the keyboard sees it."""

from __future__ import annotations

import threading

from tests.ui.driving import driven
from tests.ui.fake import OFFER, FakeSession
from tests.ui.tiny_llama import NOTES, PROMPT
from tracetui.debugger.session import Listener
from tracetui.debugger.state import Phase
from tracetui.ui.app import TracetuiApp
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.panes.tensor.welcome import Welcome
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.prompt_bar import PromptInput


async def test_the_first_screen_is_there_before_the_session() -> None:
    """It names the model, offers the prompt and can be left, while the session still opens."""
    may_open = threading.Event()

    def open_session(listener: Listener) -> FakeSession:
        may_open.wait(10)
        return FakeSession(listener)

    app = TracetuiApp(open_session, OFFER)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        before = app.debugger.state.phase
        assert app.debugger.query_one(PromptInput).value == PROMPT
        assert app.debugger.focused is app.debugger.query_one(PromptInput)
        assert "memory" not in str(app.debugger.query_one(Welcome).render())
        may_open.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert (before, app.debugger.state.phase) == (Phase.PREPARING, Phase.READY)
        assert "memory: peak about 2.27 GiB of 16.0 GiB" in str(app.debugger.query_one(Welcome).render())


async def test_a_prompt_given_too_early_runs_when_the_model_is_prepared() -> None:
    may_open = threading.Event()

    def open_session(listener: Listener) -> FakeSession:
        may_open.wait(10)
        return FakeSession(listener)

    app = TracetuiApp(open_session, OFFER)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        assert app.debugger.state.frontier == 0
        may_open.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert app.debugger.state.phase is Phase.STOPPED
        assert app.debugger.state.record.site == "model.embed_tokens"


async def test_enter_stops_at_the_first_record_and_shows_it() -> None:
    async with driven() as it:
        await it.press("enter")
        assert (it.state.phase, it.state.cursor, it.state.frontier) == (Phase.STOPPED, 0, 1)
        text = it.text()
        for shown in (
            "model.embed_tokens",
            "[B=1, T=17, D=32]",
            "float32",
            "weights random",
            "stopped at record 0 · 1 recorded",
        ):
            assert shown in text
        statistics = it.state.trace.statistics(it.state.record)
        assert f"{statistics.l2:.4g}" in text
        assert f"{statistics.absmax:.4g}" in text
        assert f"{it.screen.query_one(ValueGrid).value:.4g}" in text


async def test_steps_lead_the_model_and_then_walk_over_what_is_recorded() -> None:
    async with driven() as it:
        await it.press("enter", "s", "s", "s")
        assert it.site == "model.layers.0.self_attn.q_proj"
        assert it.session.calls.count("advance") == 3
        await it.press("p", "p")
        assert it.site == "model.layers.0:input"
        assert it.state.frontier == 4
        await it.press("n", "n")
        assert it.site == "model.layers.0.self_attn", "over, from the layer norm, ends at the module after it"
        await it.press("u")
        assert it.site == "model.layers.0"


async def test_a_step_behind_the_frontier_leaves_the_model_alone() -> None:
    async with driven() as it:
        await it.press("enter", "u", "p")
        calls = len(it.session.calls)
        await it.press("s", "p", "s")
        assert len(it.session.calls) == calls


async def test_by_layer() -> None:
    async with driven() as it:
        await it.press("enter", "s", "s", "s", "}")
        assert it.site == "model.layers.1.self_attn.q_proj"
        await it.press("{")
        assert it.site == "model.layers.0.self_attn.q_proj"


async def test_continue_ends_with_the_next_tokens_and_what_they_are_worth() -> None:
    async with driven() as it:
        await it.press("enter", "c", "5")
        assert it.state.phase is Phase.FINISHED
        assert it.site == "logits"
        text = it.text()
        assert NOTES[0] in text
        logits = it.state.trace["logits"][0, -1]
        assert str(int(logits.argmax())) in text
        assert f"{float(logits.max()):.3f}" in text


async def test_attention_of_a_head_is_what_the_model_computed() -> None:
    """The crosshair's number is the softmax that the numpy forward used: rows sum to 1, heads @ values match."""
    async with driven() as it:
        await it.press("enter", "c", "3", "]", "]")
        assert it.state.head == 2
        data = it.screen.query_one("#heatmap", Heatmap).data
        values = it.state.trace["model.layers.1.self_attn:v"][0, 1]
        heads = it.state.trace["model.layers.1.self_attn:heads"][0, 2]
        assert abs(data.values @ values - heads).max() < 1e-5
        assert "head 2 of 0–3" in it.text()
        assert "kv head 1 (heads 2–3)" in it.text()


async def test_the_three_kinds_of_scores() -> None:
    async with driven() as it:
        await it.press("enter", "c", "3")
        heatmap = it.screen.query_one("#heatmap", Heatmap)
        probabilities = heatmap.data.values
        await it.press("a")
        before = heatmap.data.values
        await it.press("a")
        masked = heatmap.data.values
        assert abs(probabilities.sum(axis=1) - 1).max() < 1e-6
        assert (masked[0, 1:] == float("-inf")).all()
        assert (before[0, 1:] > float("-inf")).all()


async def test_running_again_starts_a_fresh_trace() -> None:
    async with driven() as it:
        await it.press("enter", "c", "r")
        prompt = it.screen.query_one(PromptInput)
        assert it.screen.focused is prompt
        prompt.value = "hello world"
        await it.press("enter")
        assert it.state.frontier == 1
        assert [token.bytes for token in it.state.tokens[1:]] == [b" hello", b" world"]


async def test_keys_are_text_while_the_prompt_is_typed() -> None:
    async with driven() as it:
        await it.press("enter", "r", "n", "q", "f10")
        assert it.screen.query_one(PromptInput).value.endswith("nq")
        assert it.state.frontier == 1
        await it.press("escape", "n")
        assert it.state.frontier > 1


async def test_an_empty_prompt_says_so_and_stays() -> None:
    async with driven() as it:
        it.screen.query_one(PromptInput).value = "  "
        await it.press("enter")
        assert it.session.calls == []
        assert it.screen.focused is it.screen.query_one(PromptInput)
        assert "the prompt is empty" in it.text()
        assert it.notices == []


async def test_the_token_cursor_takes_the_values_and_the_crosshair_along() -> None:
    async with driven() as it:
        await it.press("enter", "c", "3", ">", ">", ">")
        assert it.state.token == 2
        assert it.screen.query_one("#heatmap", Heatmap).cursor[0] == 2
        await it.press("down")
        assert it.state.token == 3


async def test_the_record_before_is_gone_to_and_a_key_without_a_meaning_says_so_once() -> None:
    async with driven() as it:
        await it.press("enter", "c")
        last = it.state.cursor
        await it.press("K", "K")
        assert it.state.cursor == last - 2
        await it.press("J")
        assert it.state.cursor == last - 1
        await it.press("home", "K")
        assert "this is the first record" in it.text()
        await it.press("Y")
        assert "Y does nothing here; ? tells" in it.text()
        await it.press("dollar_sign")
        assert "$ does nothing here" in it.text()
        await it.press("s", "Y")
        assert "does nothing here" not in it.text()


async def test_a_search_filters_the_tree_counts_and_says_where_nothing_fits() -> None:
    async with driven() as it:
        await it.press("enter", "c", "slash", "m", "l", "p")
        assert "1 of 10" in it.text()
        tree = it.screen.query_one(ModuleList)
        assert "model.embed_tokens" not in [row.path for row in tree._rows]
        await it.press("down", "down", "up")
        assert "2 of 10" in it.text()
        await it.press("q", "enter")
        assert "no hit" in it.text()
        assert "no module has “mlpq” in its path; Ctrl+O goes to records" in it.text()
        await it.press("backspace", "enter")
        assert tree.chosen.endswith("mlp")
        assert "model.embed_tokens" in [row.path for row in tree._rows]
        await it.press("G")
        assert tree.chosen == tree._rows[-1].path
        await it.press("g")
        assert tree.line == 0
