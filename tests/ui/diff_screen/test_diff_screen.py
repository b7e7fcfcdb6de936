"""The diff's screen: the tree of both sides, the finding, values and heatmaps, and the keys between them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from textual.widgets import Input, Static

from tests.ui.comparing import FAULT, comparing, faulty, reference, rest, screen
from tests.ui.driving import Driven, driven
from tests.ui.recording import opened, without_values, written
from tracetui import paths
from tracetui.debugger.recorded_session import open_recording
from tracetui.errors import InputError
from tracetui.recording.npz import write_trace
from tracetui.recording.record import Token
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue, Value
from tracetui.ui.debugger_screen.screen import DebuggerScreen
from tracetui.ui.diff_screen import work as diff_work
from tracetui.ui.diff_screen.grid import DiffGrid
from tracetui.ui.diff_screen.screen import DiffScreen
from tracetui.ui.diff_screen.text import DiffText
from tracetui.ui.diff_screen.work import Comparing
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.scale import ScaleKind

FOLDER = Path(__file__).parents[1] / "snapshots"


def pair() -> tuple[Trace, Trace]:
    found = reference()
    return faulty(found), found


def words(it: Driven) -> str:
    return " ".join(it.text().split())


async def test_it_opens_at_the_first_divergence_with_what_fed_it() -> None:
    a, b = pair()
    async with comparing(a, b) as it:
        text = it.text()
        assert "A mine.npz" in text
        assert "B reference.npz" in text
        assert f"First divergence: {FAULT}" in text
        assert "its inputs agree: the fault is made here" in text
        line = next(line for line in text.splitlines() if "  post_attention_layernorm" in line)
        assert line.startswith("◆"), "made here, and said so by a mark"
        assert "2.5e-01" in line, "and by a number"
        assert next(line for line in text.splitlines() if "layers.0" in line).startswith("✓ ▸"), "folded: all agree"


async def test_every_site_has_a_line_once_all_is_unfolded() -> None:
    a, b = pair()
    async with comparing(a, b, size=(120, 60)) as it:
        found = screen(it).sites.surveyed
        assert found is not None
        assert set(found.ways) == {record.key for record in a.records}
        for site in found.ways:
            it.app.screen.query_one("DiffTree").go(site)  # type: ignore[attr-defined]
        await rest(it)
        text = it.text()
        for name in ("q_proj", ":heads", "down_proj", "embed_tokens", "lm_head"):
            assert name in text


async def test_next_previous_and_first_walk_over_what_differs() -> None:
    a, b = pair()
    async with comparing(a, b) as it:
        found = screen(it).sites.surveyed
        assert found is not None
        apart = found.survey.apart
        assert apart[0] == FAULT
        await it.press("semicolon")
        await rest(it)
        assert f"Differs: {apart[1]}" in it.text()
        await it.press("apostrophe", "apostrophe")
        assert f"First divergence: {FAULT}" in it.text()
        assert "no differing site before this" in it.notices
        await it.press("end", "f")
        await rest(it)
        assert f"First divergence: {FAULT}" in it.text()


async def test_hints_are_stops_of_their_own() -> None:
    a, b = pair()
    async with comparing(a, b) as it:
        assert "looks like The norm's scale is another" in words(it)
        await it.press("end", "ampersand")
        await rest(it)
        assert f"First divergence: {FAULT}" in it.text()
        await it.press("asterisk")
        assert "no hint or routing change after this" in it.notices


async def test_the_values_stand_beside_each_other_at_the_worst_element() -> None:
    a, b = pair()
    async with comparing(a, b) as it:
        await it.press("7")
        await rest(it)
        grid = it.app.screen.query_one(DiffGrid)
        apart = np.abs(a[FAULT] - b[FAULT])[0]  # [T,D]
        rows = np.linalg.norm(apart, axis=-1) / np.linalg.norm(b[FAULT][0], axis=-1)
        assert rows[grid.cell[0]] == pytest.approx(rows.max())
        assert grid.cell[1] == apart[grid.cell[0]].argmax()
        row, column = grid.cell
        for value in (a[FAULT][0, row, column], b[FAULT][0, row, column], (a[FAULT] - b[FAULT])[0, row, column]):
            assert f"{value:#.4g}".rstrip(".") in it.text()
        await it.press("h", "k")
        assert grid.cell == (row - 1, column - 1) if row and column else True
        await it.press("W")
        await rest(it)
        assert grid.cell == (row, column)


async def test_in_a_narrow_terminal_the_row_stands_as_a_list() -> None:
    a, b = pair()
    async with comparing(a, b, size=(80, 24)) as it:
        await it.press("7")
        await rest(it)
        grid = it.app.screen.query_one(DiffGrid)
        row, column = grid.cell
        assert f"[0, {row}, :]" in it.text()
        shown = next(line for line in it.text().splitlines() if f"▸ {column} " in line)
        for side in (a[FAULT], b[FAULT]):
            assert f"{side[0, row, column]:#.4g}".rstrip(".") in shown
        await it.press("up" if column else "down")
        assert grid.cell == (row, column - 1 if column else 1)


async def test_in_a_narrow_terminal_the_finding_is_short_and_values_have_room() -> None:
    a, b = pair()
    async with comparing(a, b, size=(80, 24)) as it:
        grid, planes = it.app.screen.query_one(DiffGrid), it.app.screen.query_one("#diff-planes")
        assert grid.size.height >= 15
        short = str(it.app.screen.query_one("#diff-short", Static).render()).splitlines()
        assert short[0] == "off by 0.25·|b| · inputs agree: made here"
        assert short[1] == "The norm's scale is another"
        row = grid.cell[0]
        await it.press("less_than_sign")
        assert f"[0, {row - 1}, :]" in it.text()
        await it.press("2")
        assert "First divergence:" in it.text()
        assert not planes.display
        await it.press("7", "I")
        assert "Layer by layer" in it.app.screen.query_one(DiffText).text
        assert not planes.display, "an overview has no values"
        await it.press("f")
        await rest(it)
        assert grid.size.height >= 15


async def test_heatmaps_of_both_and_the_difference_are_on_one_scale() -> None:
    a, b = pair()
    async with comparing(a, b) as it:
        await it.press("8")
        await rest(it)
        maps = sorted(it.app.screen.query(Heatmap), key=lambda each: each.id or "")
        scales = {heatmap.data.pyramids[ScaleKind.LINEAR].scale for heatmap in maps}
        assert len(scales) == 1
        assert [each.is_thumbnail for each in maps] == [True, True, False], "one legend, of A−B"
        np.testing.assert_allclose(maps[2].data.values, (a[FAULT] - b[FAULT])[0], rtol=1e-6)
        await it.press("Y")
        await rest(it)
        own = [heatmap.data.pyramids[ScaleKind.LINEAR].scale for heatmap in maps]
        assert own[0] == own[1] != own[2]
        assert [each.is_thumbnail for each in maps] == [True, False, False], "two scales have two"
        await it.press("l")
        assert len({heatmap.cursor for heatmap in maps}) == 1, "one crosshair"
        assert maps[0].cursor == it.app.screen.query_one(DiffGrid).cell


async def test_attention_of_both_sides_is_a_plane_of_its_own() -> None:
    _, b = pair()
    # What its kernel returned isn't recorded: it would contradict queries that are faulty alone.
    b = replace(b, records=[replace(r, site=r.site.replace(":heads", ".context")) for r in b.records])
    a = faulty(b, "model.layers.1.self_attn:q")
    async with comparing(a, b) as it:
        await it.press("8", "a", "a", "a")
        await rest(it)
        assert "attention: probs" in it.text()
        maps = sorted(it.app.screen.query(Heatmap), key=lambda each: each.id or "")
        np.testing.assert_allclose(maps[0].data.values.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(maps[2].data.values.sum(axis=1), 0, atol=1e-5)
        assert np.abs(maps[2].data.values).max() > 0
        before = maps[0].data.values.copy()
        head = screen(it).sites.target.head
        await it.press("]" if head == 0 else "[")
        await rest(it)
        assert not np.array_equal(before, maps[0].data.values), "another head"


async def test_what_differs_besides_the_numbers_is_said_first() -> None:
    a, b = pair()
    row = (*a.tokens[0][:4], Token(77, b" else"), *a.tokens[0][5:])
    a = replace(a, tokens=(row,), run=replace(a.run, config={**a.run.config, "rms_norm_eps": 0.5}))
    async with comparing(a, b) as it:
        text = words(it)
        assert "beside the numbers: tokens differ from token 4 on · config: rms_norm_eps" in text
        assert "rms_norm_eps: 0.5 in A, not there in B" in text, "the overview is what it opens with"
        await it.press("f")
        await rest(it)
        assert "First divergence" in it.text()
        await it.press("I")
        await rest(it)
        assert "rms_norm_eps: 0.5 in A" in words(it)


async def test_sites_of_one_side_alone_are_marked_and_told() -> None:
    a, b = pair()
    kept = [record.index for record in b.records if record.layer != 1]
    records = tuple(replace(b.records[index], index=place) for place, index in enumerate(kept))
    b = replace(b, records=records, values=tuple(b.values[index] for index in kept))
    async with comparing(a, b) as it:
        assert "layers 0–1 in A, 0 in B" in it.text()
        line = next(line for line in it.text().splitlines() if "layers.1" in line and "▸" in line)
        assert line.startswith("◁")
        it.app.screen.query_one("DiffTree").go(FAULT)  # type: ignore[attr-defined]
        await rest(it)
        assert f"On one side only: {FAULT}" in it.text()


async def test_statistics_of_both_stand_beside_each_other_even_without_values() -> None:
    a, b = pair()
    async with comparing(without_values(a), without_values(b)) as it:
        text = words(it)
        assert "values not kept on both sides" in text
        found = [f"{side.statistics(side.records[a.find(FAULT).index]).l2:.4g}" for side in (a, b)]  # type: ignore[union-attr]
        assert f"L2 {found[0]} {found[1]}" in text
        await it.press("7")
        await rest(it)
        assert "not kept in A and B" in words(it)


async def test_two_equal_traces_agree_and_everything_is_folded() -> None:
    b = reference()
    async with comparing(b, b) as it:
        assert "✓ Same:" in it.text()
        await it.press("f", "semicolon")
        assert "nothing differs" in " ".join(it.notices) or "there is no differing site" in " ".join(it.notices)


async def test_d_in_a_recording_compares_it_with_a_file_and_remembers_the_folder(tmp_path: Path) -> None:
    a, b = pair()
    other = written(tmp_path / "reference.npz", b)
    async with opened(written(tmp_path / "mine.npz", a)) as it:
        await it.press("d")
        it.app.screen.query_one(Input).value = str(other)
        await it.press("enter")
        await rest(it)
        assert f"First divergence: {FAULT}" in it.text()
        await it.press("escape")
        assert isinstance(it.app.screen, DebuggerScreen)
        await it.press("d")
        await rest(it)
        assert it.app.screen.query_one(Input).value == f"{tmp_path}/"
        assert (paths.state_dir() / "last_folder").read_text() == f"{tmp_path}\n"


async def test_d_in_a_live_session_compares_what_is_recorded_so_far(tmp_path: Path) -> None:
    other = written(tmp_path / "reference.npz", reference())
    async with driven() as it:
        await it.press("enter", "s", "s", "s", "d")
        it.app.screen.query_one(Input).value = str(other)
        await it.press("enter")
        await rest(it)
        found = screen(it).sites.surveyed
        assert found is not None
        assert found.survey.report.comparison.compared == it.state.frontier
        assert "Same" in it.text()
        assert "not run yet" in it.text()
        assert "only in B" not in it.text()


async def test_a_wrong_file_is_told_in_the_dialog(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.npz"
    wrong.write_bytes(b"nothing")
    async with opened(written(tmp_path / "mine.npz")) as it:
        await it.press("d")
        it.app.screen.query_one(Input).value = str(wrong)
        await it.press("enter")
        await rest(it)
        assert "wrong.npz" in str(it.app.screen.query_one("#open-hint", Static).render())
        assert not isinstance(it.app.screen, DiffScreen)


class Waiting:
    """A value that waits until it is let go."""

    def __init__(self, value: Value, go: Event) -> None:
        self._value = value
        self._go = go
        self.shape, self.dtype, self.statistics = value.shape, value.dtype, value.statistics

    def read(self, index: tuple[int | slice, ...] = ()) -> Array:
        self._go.wait(10)
        return self._value.read(index)


async def test_a_comparison_under_way_tells_how_far_it_is_and_can_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff_work, "NOTICE_SECONDS", 0.0)
    b, go = reference(), Event()
    slow = replace(b, values=(*b.values[:5], Waiting(b.values[5], go), *b.values[6:]))
    async with driven() as it:
        it.app.push_screen(DiffScreen(Comparing(slow, b, ("a", "b")), {}))
        for _ in range(40):
            await it.pilot.pause(0.02)
            if "5 of" in it.text():
                break
        assert f"comparing: 5 of {len(b)} sites" in it.text()
        await it.pilot.press("right", "left", "enter", "end", "f", "asterisk", "semicolon", *"WIV2781z")
        assert f"comparing: 5 of {len(b)} sites" in it.text()
        await it.pilot.press("escape")
        await it.pilot.pause()
        assert isinstance(it.app.screen, DebuggerScreen)
        go.set()
        await it.settle()
        whys = ("does nothing here", "still being compared")
        assert [notice for notice in it.notices if not any(why in notice for why in whys)] == []


async def test_a_key_of_the_pane_that_has_them_is_not_called_unknown() -> None:
    async with comparing(*pair()) as it:
        await it.press("down", "k", "Y", "$")
        assert [notice for notice in it.notices if "does nothing here" in notice] == [
            "$ does nothing here; ? tells what there is and which keys"
        ]


async def test_the_divider_beside_the_tree_moves_by_keys_and_by_the_mouse() -> None:
    async with comparing(*pair()) as it:
        tree = it.app.screen.query_one("#tree")
        before = tree.outer_size.width
        await it.press("ctrl+right")
        assert tree.outer_size.width == before + 4
        await it.press("ctrl+left", "ctrl+left")
        assert tree.outer_size.width == before - 4
        divider = screen(it).arrangement.divider
        x, y = divider.region.x, divider.region.y + 12
        await it.pilot.mouse_down(offset=(x, y))
        await it.pilot.hover(offset=(60, y))
        await it.pilot.mouse_up(offset=(60, y))
        await it.settle()
        assert tree.outer_size.width == 60
        assert not it.app.screen.selections, "no text is marked on the way"
        screen(it).arrangement.move_to(999)
        await it.settle()
        assert tree.outer_size.width < 120 - 20


async def test_esc_first_gives_back_the_room_and_then_leaves() -> None:
    async with comparing(*pair(), is_alone=True) as it:
        await it.press("z")
        assert not it.app.screen.query_one("#tree").display
        await it.press("escape")
        assert it.app.screen.query_one("#tree").display
        assert it.app._exit is False
        await it.pilot.press("escape")
        assert it.app._exit


async def test_foreign_names_and_tokens_are_never_markup(tmp_path: Path) -> None:
    array = np.ones((1, 3, 4), np.float32)
    for name, factor in (("a", 1.0), ("b", 2.0)):
        named: dict[str, Any] = {"[red]x[/]\x1b[31m": array * factor}
        np.savez(tmp_path / f"{name}.npz", **named)
    a, b = (open_recording(tmp_path / f"{name}.npz") for name in "ab")
    async with comparing(a, b, asked=Comparing(a, b, ("[b]a[/b]", "\x1bb"))) as it:
        text = it.text()
        assert "[red]x[/]" in text
        assert "[b]a[/b]" in text
        assert "\x1b" not in text


async def test_y_copies_the_finding_and_the_help_names_every_key() -> None:
    a, b = pair()
    async with comparing(a, b, size=(120, 60)) as it:
        await it.press("y")
        copied = it.app.clipboard
        assert copied.startswith(f"First divergence: {FAULT}\n")
        assert "its inputs agree: the fault is made here" in copied
        assert copied == it.app.screen.query_one(DiffText).text
        await it.press("question_mark")
        for name in ("diff_first", "diff_next", "diff_clue", "diff_worst", "diff_noise"):
            assert name in it.text()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_screen_is_as_it_was(size: tuple[int, int]) -> None:
    a, b = pair()
    only = [record.index for record in b.records[:1]]
    rounded = tuple(
        ArrayValue(np.round(value.read() * 8) / 8) if index in only else value for index, value in enumerate(b.values)
    )
    b = replace(b, values=rounded, records=b.records)
    a = faulty(b, b.records[0].site)
    a, b = (replace(side, records=side.records[:1], values=side.values[:1]) for side in (a, b))
    async with comparing(a, b, size=size) as it:
        found = it.text() + "\n"
    path = FOLDER / f"diff-{size[0]}x{size[1]}.txt"
    if os.environ.get("TRACETUI_SNAPSHOTS") == "write":
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


async def test_a_file_that_shrinks_meanwhile_is_told_not_shown(tmp_path: Path) -> None:
    a, b = pair()
    path = tmp_path / "b.npz"
    write_trace(b, path)
    mapped = open_recording(path)
    async with comparing(a, mapped) as it:
        os.truncate(path, 1000)
        await it.press("semicolon")
        await rest(it)
        assert it.app.is_running
        assert "was changed while it was open; open it again" in words(it), "in the pane whose numbers are missing"


async def test_noise_is_told_at_the_suspect(tmp_path: Path) -> None:
    a, b = pair()
    asked = Comparing(a, b, ("mine.npz", "reference.npz"), rerun=lambda look_out: ("B", b), noise=True)
    async with comparing(a, b, asked=asked) as it:
        await rest(it)
        told = " ".join(it.notices)
        assert f"a fault, no rounding, at {FAULT}" in told
        assert "suspect" in it.text()
        assert "the difference is made here, and is no rounding" in " ".join(
            it.app.screen.query_one(DiffText).text.split()
        )
        await it.press("end")
        await rest(it)
        assert "it only carries on what comes in" in " ".join(it.app.screen.query_one(DiffText).text.split())


async def test_without_a_model_noise_says_what_it_takes() -> None:
    a, b = pair()
    async with comparing(a, b) as it:
        await it.press("tilde")
        assert "noise needs the model" in " ".join(it.notices)


async def test_a_rerun_that_fails_is_told() -> None:
    a, b = pair()

    def rerun(look_out: Callable[[], None]) -> tuple[str, Trace]:
        raise InputError("--noise: b.npz: holds no tokens")

    async with comparing(a, b, asked=Comparing(a, b, ("a", "b"), rerun=rerun)) as it:
        await it.press("tilde")
        await rest(it)
        assert "--noise: b.npz: holds no tokens" in " ".join(it.notices)


async def test_a_rerun_can_be_left() -> None:
    a, b = pair()
    heard, ended = Event(), Event()

    def rerun(look_out: Callable[[], None]) -> tuple[str, Trace]:
        heard.wait(10)
        try:
            look_out()
        finally:
            ended.set()
        return "B", b

    async with comparing(a, b, asked=Comparing(a, b, ("a", "b"), rerun=rerun)) as it:
        await it.pilot.press("tilde", "escape")
        heard.set()
        assert ended.wait(10)
        await it.settle()
        assert isinstance(it.app.screen, DebuggerScreen)
        assert "a fault" not in " ".join(it.notices)


@pytest.mark.parametrize("size", [(60, 16), (30, 6)])
async def test_a_terminal_that_is_too_small_hangs_nothing(size: tuple[int, int]) -> None:
    a, b = pair()
    async with comparing(a, b, size=size) as it:
        await it.press("I", "f", "7", "8", "V")
        await rest(it)
        assert len(it.text().splitlines()) == size[1]


@pytest.mark.parametrize(("differ", "status"), [(True, 1), (False, 0)])
@pytest.mark.parametrize("key", ["escape", "q"])
async def test_alone_it_is_left_with_the_exit_code_of_the_command(differ: bool, status: int, key: str) -> None:
    a, b = pair()
    async with comparing(a if differ else b, b, is_alone=True) as it:
        assert "Esc back" not in it.text()
        await it.pilot.press(key)
        await it.pilot.pause()
        assert not isinstance(it.app.screen, DebuggerScreen)
        assert it.app.return_code == status


async def test_alone_it_is_left_without_a_verdict_as_if_interrupted() -> None:
    b, go = reference(), Event()
    slow = replace(b, values=(Waiting(b.values[0], go), *b.values[1:]))
    async with driven(size=(80, 24)) as it:
        it.app.push_screen(DiffScreen(Comparing(slow, b, ("a", "b")), {}, is_alone=True))
        await it.pilot.press("escape")
        go.set()
        await it.pilot.pause()
        assert it.app.return_code == 130


async def test_a_matrix_of_one_row_fills_the_height() -> None:
    a, b = pair()
    last = [replace(trace, values=tuple(map(last_row, trace.values)),
                    records=tuple(replace(record, shape=(1, 1, record.shape[-1])) if len(record.shape) == 3 else record
                                  for record in trace.records)) for trace in (a, b)]  # fmt: skip
    async with comparing(last[0], last[1]) as it:
        await it.press("z", "7", "G")
        assert sum(line.lstrip("▸ ").partition(" ")[0].isdigit() for line in it.text().splitlines()) > 20


def last_row(value: Value) -> Value:
    return ArrayValue(value.read()[:, -1:]) if len(value.shape) == 3 else value
