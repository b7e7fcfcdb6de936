"""`tracetui run` on several ranks: what the first one's screen does, all of them do."""

from __future__ import annotations

import contextvars
import json
import queue
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tracetui
from tests.distributed.models import whole
from tests.distributed.ranks import on_ranks
from tracetui.analysis.diff.compare import compare
from tracetui.debugger.session import Event, Failed, Finished, Remark, Stopped, until_end
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import parse_stop
from tracetui.models.ranks.spread import Sizes
from tracetui.recipe import Prompts, Recipe, load_recipe
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.tracer.live import CallerContext, LiveSession
from tracetui.tracer.ranks.debugged import followed_on, leading_on
from tracetui.tracer.ranks.tracing import TracingRanks

PROMPT = Prompts(ids=((5, 31, 7, 7, 0, 42),))


def _recipe(family: str, folder: Path) -> Recipe:
    path = folder / f"{family}.json"
    path.write_text(json.dumps({**whole(family).config.to_dict(), "dtype": "float32"}))
    return load_recipe(str(path))


class _Screen:
    """Stands for the screen of the first rank: what the session tells, in order."""

    def __init__(self, ranks: TracingRanks, model: Any, recipe: Recipe) -> None:
        self.leading = leading_on(ranks.ranks, model)
        self.events: queue.Queue[Event] = queue.Queue()
        context = CallerContext(lambda: model, contextvars.copy_context(), self.leading)
        self.session = LiveSession(recipe, self.events.put, context)
        self.remarks: list[str] = []

    def wait_for(self, kind: type) -> Any:
        while not isinstance(event := self.events.get(timeout=50), kind):
            assert not isinstance(event, Failed), event.error
            self.remarks += [event.text] if isinstance(event, Remark) else []
        return event

    def held_at(self, site: str) -> Record:
        """Where the model has stopped at a site."""
        frontier = self.wait_for(Stopped).frontier
        record: Record = self.session.trace.records[frontier - 1]
        assert record.site == site
        return record

    def finished(self) -> Trace:
        """What all ranks recorded, put together."""
        merged = self.wait_for(Finished).trace.by_rank[None]
        assert isinstance(merged, Trace)
        return merged


def at(site: str) -> Callable[[Record], bool]:
    return lambda record: record.site == site


def _visit(rank: int, recipe: Recipe, sizes: Sizes, lead: Callable[[_Screen, Path], None], folder: Path) -> None:
    ranks = TracingRanks(sizes)
    model = ranks.made(recipe, lambda event: None)
    if rank:
        followed_on(ranks.ranks, model, lambda: False)
        return
    screen = _Screen(ranks, model, recipe)
    try:
        lead(screen, folder)
    finally:
        screen.session.close(None)
        screen.leading.ends()


def visited(count: int, recipe: Recipe, sizes: Sizes, lead: Callable[[_Screen, Path], None], folder: Path) -> None:
    on_ranks(count, _visit, recipe, sizes, lead, folder)


def _expected(recipe: Recipe, **options: Any) -> Trace:
    return tracetui.trace(recipe.origin, tokens=list(PROMPT.ids[0]), dtype="float32", **options).recorded


GATE, DOWN, NORM = (f"model.layers.0.{name}" for name in ("mlp.gate_proj", "mlp.down_proj", "post_attention_layernorm"))
EDIT = f"{GATE} [0, :, 9:14]: scale 2"
LATER = "model.layers.1.self_attn head 5: zero"


def _edited_and_again(screen: _Screen, folder: Path) -> None:
    """Held, edited at the record itself and further on, let go, run again without, and left in the middle."""
    session = screen.session
    session.start(PROMPT, at(GATE))
    record = screen.held_at(GATE)
    session.edit((parse_edit(EDIT),), record.index)
    session.advance(at(DOWN))
    screen.held_at(DOWN)
    session.edit((parse_edit(EDIT), parse_edit(LATER)), len(session.trace.records))
    session.advance(until_end)
    _write(screen.finished(), folder / "edited.npz")
    session.rerun(3, (), until_end)
    _write(screen.finished(), folder / "plain.npz")
    session.start(PROMPT, at(NORM))
    screen.held_at(NORM)
    session.cancel()
    assert screen.wait_for(Finished).cancelled
    session.start(PROMPT, until_end)
    session.generate(2, until_end)
    screen.wait_for(Finished)
    _write(screen.finished(), folder / "longer.npz")


def _write(trace: Trace, path: Path) -> None:
    from tracetui.recording.npz import write_trace

    write_trace(trace, path)


def test_what_the_screen_does_all_ranks_do(tmp_path: Path) -> None:
    recipe = _recipe("Llama", tmp_path)
    plain, edited = _expected(recipe), _expected(recipe, edits=[EDIT, LATER])
    longer = _expected(recipe, generate=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        visited(2, recipe, Sizes(tensor=2), _edited_and_again, tmp_path)
    assert list(tmp_path.glob("tracetui-ranks-*")) == []
    for name, expected in (("plain", plain), ("edited", edited)):
        merged = tracetui.open_trace(tmp_path / f"{name}.npz").recorded
        assert [record.key for record in merged.records] == [record.key for record in expected.records]
        assert compare(merged, expected).same, name
    merged = tracetui.open_trace(tmp_path / "longer.npz").recorded
    assert [record.key for record in merged.records] == [record.key for record in longer.records]
    assert compare(merged, longer).same
    assert not compare(edited, plain).same


UP = "model.layers.0.mlp.up_proj"
FAR = "layers.1.mlp.gate_proj [0, :, 3]: set 1"


def _in_stages(screen: _Screen, folder: Path) -> None:
    """Held and edited in the first stage, of which an edit is for the second; left; run on, and generated."""
    session = screen.session
    session.stop_at((parse_stop("layers.1.self_attn.q_proj"),))
    session.start(PROMPT, at(UP))
    screen.held_at(UP)
    session.edit((parse_edit(FAR),), len(session.trace.records))
    session.advance(until_end)
    _write(screen.finished(), folder / "edited.npz")
    assert any("stop layers.1.self_attn.q_proj" in remark for remark in screen.remarks)
    session.start(PROMPT, at(UP))
    screen.held_at(UP)
    session.cancel()
    assert screen.wait_for(Finished).cancelled
    session.edit((), 0)
    session.start(PROMPT, until_end)
    session.generate(2, until_end)
    screen.wait_for(Finished)
    _write(screen.finished(), folder / "longer.npz")


def test_of_a_model_in_stages_the_first_is_held(tmp_path: Path) -> None:
    recipe = _recipe("Llama", tmp_path)
    edited, longer = _expected(recipe, edits=[FAR]), _expected(recipe, generate=2)
    visited(4, recipe, Sizes(tensor=2, pipeline=2), _in_stages, tmp_path)
    for name, expected in (("edited", edited), ("longer", longer)):
        merged = tracetui.open_trace(tmp_path / f"{name}.npz").recorded
        assert {record.key for record in merged.records} == {record.key for record in expected.records}
        assert compare(merged, expected).same, name
