"""The pictures in docs/themes.md, a screen in each theme that ships: `python -m tests.ui.theme.pictures` draws them."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from tests.ui import dyadic
from tests.ui.driving import driven
from tracetui.ui.theme.themes import load_themes
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.depth import Depth

FOLDER = Path(__file__).parents[3] / "docs" / "themes"
SIZE = (110, 36)


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    async with driven(size=SIZE, prepare=dyadic.llama) as it:
        await it.press("enter", "b", "c")
        for heatmap in it.screen.query(Heatmap):
            heatmap.depth = Depth.TRUE
        it.screen.action_command("pane_attention")
        for theme in load_themes()[0]:
            it.app.theme = theme
            await it.settle()
            picture = it.app.export_screenshot(title=theme).replace("<svg ", '<svg xml:space="preserve" ', 1)
            (FOLDER / f"{theme}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        # Nobody's own themes, and nothing of an earlier session.
        os.environ |= {"TRACETUI_CONFIG_DIR": folder, "TRACETUI_STATE_DIR": folder}
        asyncio.run(main())
