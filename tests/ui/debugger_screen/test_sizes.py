"""Dividers: dragged, moved by keys, set by presets, remembered, and within what the screen has."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events

from tests.ui.driving import Driven
from tests.ui.recording import opened, recorded, written
from tracetui.debugger.memory.keeper import Keeper
from tracetui.debugger.memory.note import NO_NOTE, PaneSizes, ScreenLayout, SessionNote
from tracetui.debugger.memory.store import NoteStore
from tracetui.ui.debugger_screen.sizes.limits import cells_of, shares, thousandths
from tracetui.ui.debugger_screen.sizes.presets import PRESETS


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sizes") / "t.npz", recorded())


def width(it: Driven, selector: str) -> int:
    return it.top.query_one(selector).outer_size.width


def height(it: Driven, selector: str) -> int:
    return it.top.query_one(selector).outer_size.height


async def drag(it: Driven, selector: str, offset: tuple[int, int], to: tuple[int, int]) -> None:
    """From a place within a widget to a place on the screen."""
    await it.pilot.mouse_down(selector, offset=offset)
    await it.pilot._post_mouse_events([events.MouseMove], None, offset=to)
    await it.pilot.mouse_up(None, offset=to)
    await it.settle()


async def test_keys_move_the_tree_s_divider_and_the_strip_s(recording: Path) -> None:
    async with opened(recording, (120, 40)) as it:
        rail, strip = width(it, "#rail"), height(it, "#strip")
        await it.press("ctrl+right", "ctrl+right", "ctrl+left", "ctrl+up", "ctrl+up", "ctrl+down")
        assert (width(it, "#rail"), height(it, "#strip")) == (rail + 2, strip + 1)
        await it.press("ctrl+l")
        assert (width(it, "#rail"), height(it, "#strip")) == (rail, strip)
        assert it.top.sizes.sizes == PaneSizes()
        for _ in range(3):
            it.top.action_command("divider_right")
            it.top.action_command("divider_up")
        await it.settle()
        assert (width(it, "#rail"), height(it, "#strip")) == (rail + 6, strip + 3), "before the next picture"
        await it.press("z", "ctrl+right")
        assert "z gives it back" in it.text()


async def test_the_mouse_drags_dividers(recording: Path) -> None:
    async with opened(recording, (120, 40)) as it:
        await drag(it, "#rail-divider", (0, 3), (50, 9))
        assert width(it, "#rail") == 50
        await drag(it, "#strip-divider", (9, 0), (9, 25))
        assert it.top.query_one("#strip-divider").region.y == 25
        await drag(it, "#strip-divider", (9, 0), (9, 39))
        assert not it.top.query_one("#strip").display
        await drag(it, "#rail-divider", (0, 3), (119, 9))
        assert width(it, "#rail") == 120 - 36, "the panes keep some room"


async def test_on_a_wide_screen_the_gaps_between_panes_move(recording: Path) -> None:
    async with opened(recording, (180, 45)) as it:
        screen = it.top
        left = screen.query_one("#tensor").region
        assert screen.query_one("#panes").gap_at(left.right, left.y + 4) == "columns"  # type: ignore[attr-defined]
        await drag(it, "#panes", (left.width, 4), (left.right - 20, 9))
        assert abs(screen.query_one("#tensor").region.right - (left.right - 20)) <= 1
        lower = screen.query_one("#logits").region
        await drag(it, "#logits", (5, 0), (60, lower.y - 6))
        assert abs(screen.query_one("#logits").region.y - (lower.y - 6)) <= 1
        before = width(it, "#tensor")
        await it.press("2", "ctrl+right")
        assert before < width(it, "#tensor") <= before + 3
        await it.press("ctrl+right", "ctrl+up")
        assert before + 3 <= width(it, "#tensor") <= before + 6


async def test_presets_go_round_and_bring_their_pane(recording: Path) -> None:
    async with opened(recording, (120, 40)) as it:
        rail = width(it, "#rail")
        seen = []
        for _ in range(4):
            await it.press("vertical_line")
            seen.append((it.top.front, width(it, "#rail"), it.top.query_one("#strip").display))
        assert seen == [
            ("tensor", 18, False), ("attention", 18, False), ("tensor", 54, True), ("tensor", rail, True),
        ]  # fmt: skip
        assert "layout standard: all of it" in it.text()


async def test_what_is_remembered_fits_a_smaller_screen(recording: Path) -> None:
    async with opened(recording, (60, 16)) as it:
        it.top.sizes.use(PaneSizes(rail=900, strip=900, columns=990, rows=990, experts=990))
        await it.settle()
        assert width(it, "#rail") == 60 - 36
        assert not it.top.query_one("#strip").display
        assert "Tensor" in it.line(2)


async def test_a_maximised_pane_keeps_the_tokens_and_the_tree_all_room(recording: Path) -> None:
    async with opened(recording, (80, 24)) as it:
        await it.press("ctrl+right", "z")
        assert "tokens" in it.line(1)
        await it.press("z", "1", "z")
        assert width(it, "#rail") == 80


async def test_the_layout_is_noted_and_comes_back(recording: Path) -> None:
    async with opened(recording, (120, 40)) as it:
        await it.press("ctrl+right", "percent_sign")
        layout = it.top.parts.layout.now()
        assert layout == ScreenLayout(numbers=True, sizes=PaneSizes(rail=thousandths(37, 120)))
        await it.press("ctrl+l")
        assert it.top.parts.layout.now() == ScreenLayout()
        it.top.parts.layout.look_as(layout)
        await it.settle()
        assert width(it, "#rail") == 37


def test_sizes_are_cells_again_in_the_same_room() -> None:
    assert all(
        cells_of(thousandths(cells, room), room) == cells for room in (60, 97, 200, 400) for cells in range(room)
    )


def test_shares_of_the_grid() -> None:
    assert shares(PaneSizes(), has_experts=True) is None
    assert shares(PaneSizes(experts=500), has_experts=False) is None
    assert shares(PaneSizes(columns=300), has_experts=False) == "300fr 700fr"
    assert shares(PaneSizes(experts=500), has_experts=True) == "250fr 250fr 500fr"
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)


def test_a_note_that_had_a_layout_is_written_again_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracetui.commands.restore_session import last_of

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("TRACETUI_NO_SESSION", raising=False)
    note = SessionNote(more=3, layout=ScreenLayout(sizes=PaneSizes(rail=300)))
    NoteStore("recipe m").write(note)
    last = last_of("recipe m", fresh=False, reset_layout=True)
    assert last.note == SessionNote(more=3)
    keeper = last.keeper(NO_NOTE)
    assert isinstance(keeper, Keeper)
    assert keeper.want(last.note)
    keeper.write()
    assert last_of("recipe m", fresh=False).note == SessionNote(more=3)
