"""The strip below the panes: an ordinary token's norm, or that of the token looked at, and which it is."""

from __future__ import annotations

from tests.ui.driving import Driven
from tests.ui.massive import massive_trace
from tests.ui.panes.test_tensor_pane import at
from tests.ui.recording import without_values
from tracetui.analysis.residual_tokens import residual_sizes
from tracetui.text import number
from tracetui.ui.widgets.residual_line import ResidualLine

LAST = "model.layers.2"


def told(it: Driven) -> list[str]:
    """What stands at the line's left."""
    strip = it.top.query_one(ResidualLine)
    return [strip.render_line(row).text[:18].strip() for row in range(strip.size.height)]


async def test_a_massive_token_does_not_flatten_the_line_until_one_looks_at_it() -> None:
    trace = massive_trace()
    async with at(LAST) as it:
        median = residual_sizes(trace).points[-1].l2
        assert told(it)[:4] == ["median of tokens", number(median), "layer 2", "log"]
        await it.press(">")
        massive = residual_sizes(trace, token=0).points[-1].l2
        assert massive > 1000 * median
        assert told(it)[:4] == ["token 0 norm", number(massive), "layer 2", "log"]


async def test_one_row_says_as_much_as_it_can() -> None:
    async with at(LAST, (80, 24)) as it:
        it.top.query_one("#strip").styles.display = "block"
        await it.settle()
        assert told(it)[0] == f"median {number(residual_sizes(massive_trace()).points[-1].l2)} log"
        await it.press(">")
        assert told(it)[0] == f"tok 0 {number(residual_sizes(massive_trace(), token=0).points[-1].l2, 2)} log"


async def test_without_values_it_is_the_norm_of_all_tokens_and_says_so() -> None:
    async with at(LAST, trace=without_values(massive_trace())) as it:
        assert told(it)[:4] == [
            "all tokens' norm",
            number(residual_sizes(it.top.state.trace).points[-1].l2),
            "layer 2",
            "log",
        ]
