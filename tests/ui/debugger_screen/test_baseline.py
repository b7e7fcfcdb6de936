"""The run without edits that an edited one is compared with."""

from __future__ import annotations

from dataclasses import replace

from tests.tracer.recipes import recipe
from tests.ui.driving import driven
from tests.ui.fake import PLAN
from tracetui.debugger.baseline import Baseline, held_bytes, is_edited, same_prompt
from tracetui.debugger.session import Finished, Started
from tracetui.expr.edit_parse import parse_edits
from tracetui.recipe import Prompts
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe
from tracetui.ui.diff_screen.screen import DiffScreen
from tracetui.ui.diff_screen.text import DiffText


def run(*edits: str, ids: tuple[int, ...] = (5, 8, 299)) -> Trace:
    return trace_recipe(recipe(prompts=Prompts(ids=(ids,)), edits=parse_edits(edits, "")))


def ran(baseline: Baseline, *traces: Trace, available: int = 2**40) -> None:
    for trace in traces:
        baseline.hear(Started(replace(trace, complete=False), replace(PLAN, available=available)))
        baseline.hear(Finished(trace))


def test_the_last_run_without_edits_stays_while_the_prompt_does() -> None:
    plain, one, two, other = run(), run("layers.0: zero"), run("layers.1: zero"), run("layers.1: zero", ids=(5, 8))
    baseline = Baseline()
    ran(baseline, one)
    assert not len(baseline.trace)
    ran(baseline, plain, one, two)
    assert baseline.trace.values[0] is plain.values[0]
    assert not is_edited(baseline.trace)
    assert not same_prompt(plain, other)
    ran(baseline, other)
    assert not len(baseline.trace)
    ran(baseline, one)
    assert not len(baseline.trace)


def test_a_run_that_was_left_is_none_and_one_with_other_edits_is_better_than_none() -> None:
    one, two = run("layers.0: zero"), run("layers.1: zero")
    baseline = Baseline()
    baseline.hear(Started(one, PLAN))
    baseline.hear(Finished(replace(run(), complete=False), cancelled=True))
    ran(baseline, one)
    assert not len(baseline.trace)
    ran(baseline, two)
    assert baseline.trace.values[0] is one.values[0]


def test_what_would_take_too_much_memory_is_not_kept() -> None:
    plain = run()
    baseline, size = Baseline(), held_bytes(plain)
    assert 0 < size == sum({id(value): 4 * record.numel * (1 + record.dtype.endswith("64")) for record, value in zip(
        plain.records, plain.values, strict=True)}.values())  # fmt: skip
    ran(baseline, plain, run("layers.0: zero"), available=4 * size - 4)
    assert not len(baseline.trace)
    assert "too much to keep" in baseline.why
    ran(baseline, plain, run("layers.0: zero"), available=4 * size)
    assert len(baseline.trace)


async def test_one_key_opens_the_comparison_or_says_how_to_get_one() -> None:
    plain, edited = run(), run("layers.1.mlp: noise 3")
    async with driven((80, 24)) as screen:
        screen.session.send(Started(replace(edited, complete=False), PLAN), Finished(edited))
        await screen.settle()
        await screen.press("escape", "D")
        assert "no run without edits" in screen.text()
        for trace in (plain, edited):
            screen.session.send(Started(replace(trace, complete=False), PLAN), Finished(trace))
        await screen.settle()
        await screen.press("D")
        assert isinstance(screen.app.screen, DiffScreen)
        await screen.settle()
        shown = screen.app.screen.query_one(DiffText)
        assert shown.size.height > 10
        text = shown.text
        for part in ("this run (layers.1.mlp: noise 3)", "without edits", "Next tokens after", "Residual stream"):
            assert part in text
        await screen.press("escape")
        assert len(screen.app.screen_stack) == 1
