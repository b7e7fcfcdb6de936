"""Widgets that are told of another theme."""

from __future__ import annotations

from textual.app import App
from textual.widgets import Static

from tracetui.ui.theme.following import follow_theme


async def test_a_widget_is_told_as_long_as_it_is_there() -> None:
    told: list[str] = []
    app: App[None] = App()
    async with app.run_test() as pilot:
        gone, stays = Static(id="gone"), Static(id="stays")
        await app.mount(gone, stays)
        for widget in (gone, stays):
            follow_theme(widget, lambda each: told.append(each.id or ""))
        app.theme = "nord"
        await pilot.pause()
        assert sorted(told) == ["gone", "stays"]
        await gone.remove()
        app.theme = "gruvbox"
        await pilot.pause()
        assert sorted(told) == ["gone", "stays", "stays"]
