"""The arrangement: three widths, too small, maximised, themes, keys of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ui.driving import driven
from tests.ui.tiny_llama import outline
from tracetui import paths
from tracetui.ui.app import TracetuiApp
from tracetui.ui.keys.commands import COMMANDS
from tracetui.ui.panes.modules.find_bar import FindInput
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.tensor.pane import TensorPane
from tracetui.ui.theme.themes import DEFAULT_THEME, remembered_theme
from tracetui.ui.widgets.nearby import Nearby


async def test_three_widths_while_a_run_goes_on() -> None:
    async with driven(hold=True, size=(80, 24)) as it:
        await it.press("enter")
        it.session.let_go()
        await it.press("c")
        shown = []
        for width, height in ((80, 24), (120, 40), (180, 50), (60, 16)):
            await it.pilot.resize_terminal(width, height)
            it.session.let_go(2)
            await it.settle()
            panes = {
                pane for pane in ("tensor", "attention", "logits", "log") if it.screen.query_one(f"#{pane}").display
            }
            shown.append((len(panes), it.screen.query_one(Nearby).display))
            assert it.site[-10:] in it.text()
        assert shown == [(1, False), (1, True), (4, True), (1, False)]


@pytest.mark.parametrize("size", [(59, 24), (80, 15), (20, 5), (1, 1)])
async def test_too_small_a_terminal_says_so_and_still_quits(size: tuple[int, int]) -> None:
    async with driven(size=size) as it:
        if size[0] >= 20:
            assert "too small" in it.text()
        await it.pilot.press("q")
    assert it.app.return_code == 0


async def test_growing_out_of_too_small_brings_everything_back() -> None:
    async with driven(size=(40, 10)) as it:
        await it.pilot.resize_terminal(80, 24)
        await it.settle()
        assert "too small" not in it.text()
        await it.press("r", "enter")
        assert it.state.frontier == 1


async def test_maximised_and_back() -> None:
    async with driven(size=(180, 50)) as it:
        await it.press("enter", "z")
        assert it.screen.query_one(TensorPane).size.width == 180
        assert not it.screen.query_one("#rail").display
        await it.press("escape")
        assert it.screen.query_one("#rail").display
        assert it.session.calls == ["start"], "Esc gives the room back before it cancels"


async def test_the_tree_follows_and_leads() -> None:
    async with driven(outline=outline(30)) as it:
        assert "2–31  30 × not run" in it.text()
        await it.press("enter", "s", "s", "s")
        assert it.screen.query_one(ModuleList).current == "model.layers.0.self_attn.q_proj"
        assert "q_proj" in it.text()
        await it.press("c", "slash")
        it.screen.query_one(FindInput).value = "1.mlp"
        await it.press("enter")
        assert it.screen.focused is it.screen.query_one(ModuleList)
        await it.press("enter")
        assert it.site == "model.layers.1.mlp"


async def test_a_module_without_a_record_is_named() -> None:
    async with driven() as it:
        await it.press("enter", "1", "down", "down", "down", "enter")
        assert "no record yet" in it.text()


async def test_jump_to_a_record_by_its_site() -> None:
    async with driven() as it:
        await it.press("enter", "c", "ctrl+o")
        await it.pilot.press(*"1 q_p")
        await it.press("enter")
        assert it.site == "model.layers.1.self_attn.q_proj"


async def test_a_jump_without_a_match_says_so() -> None:
    async with driven() as it:
        await it.press("enter", "ctrl+o")
        await it.pilot.press(*"zzz")
        await it.settle()
        assert "no record has that in its site" in it.text()


async def test_themes_are_tried_on_and_remembered() -> None:
    async with driven() as it:
        await it.press("enter", "t", "down")
        tried = it.app.theme
        assert tried != DEFAULT_THEME
        await it.press("escape")
        assert it.app.theme == DEFAULT_THEME
        await it.press("t", "down", "enter")
        assert it.app.theme == tried
    assert remembered_theme() == tried


async def test_a_change_of_theme_paints_every_pane() -> None:
    async with driven(size=(160, 30)) as it:
        await it.press("enter", "c")
        for theme in [name for name in it.app.available_themes if name.startswith(("tracetui", "ansi", "nord"))]:
            it.app.theme = theme
            await it.pilot.pause()
            assert "logits" in it.text()


async def test_keys_of_ones_own_and_what_is_wrong_with_them() -> None:
    paths.config_dir().mkdir(parents=True)
    (paths.config_dir() / "keys.toml").write_text('[keys]\nover = "o"\nfly = "w"\nback = 3\n')
    async with driven() as it:
        assert "keys.fly: no such command" in it.log
        assert "keys.back: must be key names" in it.log
        await it.press("enter", "s", "o")
        assert it.state.frontier == 3
        await it.press("n")
        assert it.state.frontier == 3, "the key that was replaced does nothing"
        assert it.line(39).startswith(" o over")


async def test_a_keys_file_that_is_no_toml_is_reported() -> None:
    paths.config_dir().mkdir(parents=True)
    (paths.config_dir() / "keys.toml").write_text("[keys")
    async with driven() as it:
        assert "keys.toml" in it.log
        await it.press("enter")
        assert it.state.frontier == 1


async def test_help_lists_every_command() -> None:
    async with driven(size=(120, 110)) as it:
        await it.press("escape", "question_mark")
        assert "Statistics over all elements" in it.text()
        await it.press("question_mark")
        text = it.text()
        assert all(command.help in text and command.id in text for command in COMMANDS)
        await it.press("escape")
        assert "step over" not in it.text()


async def test_the_palette_runs_a_command() -> None:
    async with driven() as it:
        await it.press("enter", "ctrl+p")
        await it.pilot.press(*"very next")
        await it.pilot.pause(0.3)
        await it.press("enter")
        assert it.state.frontier == 2


async def test_clicks_on_tabs_tokens_and_keys() -> None:
    async with driven() as it:
        await it.press("enter")
        await it.pilot.click("TabLine", offset=(12, 0))
        assert it.screen.front == "attention"
        await it.pilot.click("TokenStrip", offset=(13, 0))
        assert it.state.token == 0
        await it.pilot.click("KeyBar", offset=(10, 0))
        await it.settle()
        assert it.state.frontier == 2


async def test_the_narrowest_screen_names_every_pane_and_the_two_keys_to_know() -> None:
    async with driven(size=(60, 16)) as it:
        await it.press("enter")
        tabs = next(line for line in it.text().splitlines() if "2 Tensor" in line)
        assert tabs.split("2 Tensor")[1].split() == ["3", "Attn", "4", "Exp", "5", "Logit", "6", "Log"]
        assert it.text().splitlines()[-1].split()[-4:] == ["?", "help", "q", "quit"]
        await it.press("3")
        tabs = next(line for line in it.text().splitlines() if "3 Attention" in line)
        assert tabs.split()[-3:] == ["4", "5", "6"]


async def test_the_number_at_the_cursor_has_all_its_digits() -> None:
    async with driven() as it:
        await it.press("enter", "2", "down", "right")
        heading = next(line for line in it.text().splitlines() if "[0, :, :]" in line)
        value = it.state.trace.value(it.state.record).read()[0, 1, 1]
        assert float(heading.split()[-1]) == pytest.approx(float(value), rel=1e-8)


async def test_copy_says_what_was_copied() -> None:
    async with driven() as it:
        await it.press("enter", "y")
        assert it.app.clipboard.startswith("model.embed_tokens [1, 17, 32] float32 L2 ")
        assert any(notice.startswith("copied: model.embed_tokens") for notice in it.notices)


async def test_the_screenshot_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven(size=(80, 24)) as it:
        await it.press("escape", "f12")
        found = next(notice for notice in it.notices if "saved in" in notice)
    picture = Path(found.rpartition(" ")[2]).read_text()
    assert picture.startswith("<svg ")
    assert 'xml:space="preserve"' in picture.partition(">")[0]


def test_no_two_commands_share_a_key() -> None:
    keys = [key for command in COMMANDS for key in command.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert all(hasattr(TracetuiApp, f"action_{c.action[4:]}") for c in COMMANDS if c.action.startswith("app."))
