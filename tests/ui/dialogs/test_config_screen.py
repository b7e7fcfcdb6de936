"""The configuration on the screen: every field, found by text and from a tensor."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.ui.driving import driven
from tests.ui.fake import REPORT
from tracetui.debugger.session import Explained
from tracetui.ui.dialogs.config import ConfigScreen
from tracetui.ui.widgets.report_lines import ReportLines
from tracetui.views.config_lines import config_report_lines


@pytest.mark.parametrize("size", [(80, 24), (180, 50), (60, 16)])
async def test_every_field_is_there_and_no_line_is_cut(size: tuple[int, int]) -> None:
    async with driven(size=size) as it:
        await it.press("escape", "C")
        assert "Configuration · llama3-2layer · 33 fields · 1 unknown · 1 contradiction" in it.text() or size[0] < 80
        assert "! num_key_value_heads: 3 does not divide 4" in it.text()
        lines = it.app.screen.query_one(ReportLines)
        assert [line.text for line in lines._lines] == [line.text for line in config_report_lines(REPORT, lines.room)]
        assert all(cell_len(line.text) <= lines.room for line in lines._lines)
        assert "hidden_size = 32" in it.text()
        await it.press("end")
        assert "field_29 = 29" in it.text()
        assert '"[red]sweet[/]"' in "\n".join(line.text for line in lines._lines)
        await it.press("escape")
        assert it.app.screen is it.screen


async def test_a_text_is_found_again_and_again() -> None:
    async with driven(size=(80, 24)) as it:
        await it.press("escape", "C", "/", *"residual", "enter")
        assert "1 of 1 for “residual”" in it.text()
        await it.press("/", *"field_2", "enter")
        assert "1 of 11" in it.text()
        await it.press("n", "n")
        assert "3 of 11" in it.text()
        assert "field_21 = 21" in it.text()
        await it.press("N", "N", "N")
        assert "11 of 11" in it.text()
        await it.press("/", *"nowhere", "enter", "escape")
        assert it.app.screen is not it.screen
        assert "11 of 11" in it.text()


async def test_from_a_tensor_to_the_fields_behind_its_shape() -> None:
    async with driven(size=(80, 24)) as it:
        await it.press("enter", "s", "s", "s")
        assert it.site == "model.layers.0.self_attn.q_proj"
        await it.press("C")
        assert "1 of 2 for self_attn.q_proj" in it.text()
        lines = it.app.screen.query_one(ReportLines)
        assert lines._lines[lines._line].field == "hidden_size"
        await it.press("n")
        assert lines._lines[lines._line].field == "num_attention_heads"
        assert it.session.calls.count("explain") == 1
        await it.press("q", "C")
        assert it.session.calls.count("explain") == 1


async def test_it_waits_for_a_model_at_work_and_says_what_went_wrong() -> None:
    async with driven(size=(80, 24), hold=True) as it:
        await it.press("enter", "C")
        assert "as soon as the model isn't at work" in it.text()
        it.session.send(Explained(None, "config.json: [/red] is wrong"))
        await it.settle()
        assert "config.json: [/red] is wrong" in it.text()
        it.session.send(Explained(REPORT))
        await it.settle()
        assert "hidden_size = 32" in it.text()
        assert isinstance(it.app.screen, ConfigScreen)
        await it.press("escape")
        assert it.state.running
