"""A batch on the screen: every pane follows the row, and padding is no text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.ui.driving import Driven, driven
from tests.ui.fake import OFFER
from tracetui.analysis.residual import residual_norms
from tracetui.analysis.residual_tokens import residual_sizes
from tracetui.debugger.labels import PADDING
from tracetui.recipe import Prompts, texts
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.logits.pane import LogitsPane
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.prompt_bar import PromptInput
from tracetui.ui.widgets.residual_line import ResidualLine
from tracetui.ui.widgets.token_strip import TokenStrip

ROWS = ("one two three four", "five six", "seven eight nine")
BATCH = replace(OFFER, prompts=texts(*ROWS))


def strip_of(it: Driven) -> str:
    return it.screen.query_one(TokenStrip).render().plain


async def test_the_offered_batch_runs_unchanged_and_a_typed_text_alone() -> None:
    async with driven(offer=BATCH) as it:
        assert it.screen.query_one(PromptInput).value == ""
        assert "3 prompts · “one two three four” · “five six”" in it.text()
        await it.press("enter")
        assert it.session.prompts == list(ROWS)
        await it.press("r")
        it.screen.query_one(PromptInput).value = "alone"
        await it.press("enter", "r")
        assert it.session.prompts == [*ROWS, "alone"]
        assert len(it.state.trace.tokens) == 1
        it.screen.query_one(PromptInput).value = ""
        await it.press("enter")
        assert it.session.prompts == [*ROWS, "alone", *ROWS]


async def test_random_ids_are_offered_in_words() -> None:
    async with driven(offer=replace(OFFER, prompts=Prompts(random=(4, 64)))) as it:
        assert "4 × 64 random ids" in it.text()


async def test_the_strip_names_the_row_and_shows_padding_as_such() -> None:
    async with driven(offer=BATCH) as it:
        await it.press("enter")
        assert strip_of(it).startswith(" row 0 of 0–2 · 5 tokens <|begin_of_text|>│·one│·two")
        assert PADDING not in strip_of(it)
        await it.press(")")
        assert strip_of(it).startswith(" row 1 of 0–2 · 3 tokens <|begin_of_text|>│·five│·six")
        assert strip_of(it).rstrip().endswith(f"2 × {PADDING} padding")
        await it.press(*">>>>>>")
        assert it.state.token == 2, "the token cursor stays on real tokens"
        assert "( ) row" in it.text()
        await it.press("(", "(")
        assert it.state.batch == 0


async def test_every_pane_follows_the_row() -> None:
    async with driven(offer=BATCH, size=(180, 50)) as it:
        await it.press("enter", "c", ")")
        trace, lengths = it.state.trace, [5, 3, 4]
        heatmap = it.screen.query_one("#heatmap", Heatmap)
        assert "row 1 of 0–2" in heatmap.data.told
        assert heatmap.data.rows.labels == ("<|begin_of_text|>", "·five", "·six", PADDING, PADDING)
        before = heatmap.data
        table = it.screen.query_one(ValueGrid)
        assert table._subject.plane.where == "[1, :, :]"
        logits, found = trace["logits"], it.screen.query_one(LogitsPane)
        assert "row 1 of 0–2, after token 2 “·six”" in it.text()
        best = found._found.predictions[0]
        assert best.logit == logits[1, lengths[1] - 1].max()
        await it.press(")")
        assert "row 2 of 0–2" in it.screen.query_one(AttentionPane).copied()
        assert heatmap.data is not before
        assert found._found.predictions[0].logit == logits[2, lengths[2] - 1].max()
        points = it.screen.query_one(ResidualLine)._norms.points
        assert len(points) == 5
        embedded = trace["model.embed_tokens"][2, : lengths[2]].astype(np.float64)
        np.testing.assert_allclose(points[0].l2, np.median(np.sqrt((embedded**2).sum(axis=1))), rtol=1e-12)
        assert "median of tokens" in it.text()
        assert "row 2" in it.screen.query_one(ResidualLine).render_line(3).text
        assert points == residual_sizes(trace, 2).points == residual_sizes(trace, 2, known=points[:2]).points
        assert np.sqrt((embedded**2).sum()) == residual_norms(trace, 2)[0].l2


async def test_one_prompt_has_no_rows_to_change() -> None:
    async with driven() as it:
        await it.press("enter", ")")
        assert "there is one prompt" in it.text()
        assert "row 0" not in it.text()
        assert "( ) row" not in it.text()
