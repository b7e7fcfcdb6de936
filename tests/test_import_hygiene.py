"""What an import really pulls in, seen from a fresh interpreter; import-linter reads the source, this runs it."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tracetui

MODEL_SIDE = ("tracetui.models", "tracetui.tracer", "tracetui.hub")
SCREEN = ("tracetui.ui",)
MODEL_LIBRARIES = ("torch", "transformers")
SCREEN_LIBRARIES = ("textual",)
SLOW_LIBRARIES = (
    *MODEL_LIBRARIES,
    *SCREEN_LIBRARIES,
    "numpy",
    "tiktoken",
    "tokenizers",
    "safetensors",
    "regex",
    "huggingface_hub",
)

IMPORT_ONE_BY_ONE = """
import importlib, sys
unwanted = set(sys.argv[1].split())
for name in sys.argv[2].split():
    importlib.import_module(name)
    if pulled := unwanted & sys.modules.keys():
        sys.exit(f"importing {name} pulls in {', '.join(sorted(pulled))}")
"""

FIRST_PAINT = """
import sys
from tracetui.commands import command
command("run")
from tracetui.commands import start_page
from tracetui.tracer import live
from tracetui.ui import app
from tracetui.ui.terminal import last_resort
print(*sys.modules)
"""
"""What `tracetui run` imports before its screen is painted."""

FIRST_PAINT_AT_HOME = """
import sys
from tracetui.commands import command
command("home")
from tracetui.ui.home import app
from tracetui.ui.terminal import last_resort
print(*sys.modules)
"""
"""What `tracetui` alone imports before its screen is painted."""

AT_HOME = (
    *("bus_error", "commands", "debugger.home.rows", "debugger.log.level", "debugger.memory", "errors", "file_heads"),
    *("formats.collector", "formats.toml"),
    *(
        "launch",
        "logs",
        "paths",
        "screen_turn",
        "served",
        "signals",
        "startup_line",
        "text",
        "ui.held_paint",
        "ui.home",
        "ui.keys.keymap",
        "ui.messages",
        "ui.reader",
    ),
    *("ui.terminal", "ui.theme", "ui.themed_app", "ui.widgets", "views.inks", "views.palette"),
)
"""What of tracetui the home screen shows, or ends in order with; anything else is read and imported behind it."""

LATER = (
    *("tracetui.analysis.diff", "tracetui.analysis.mapping", "tracetui.analysis.rope"),
    "tracetui.export",
    "tracetui.debugger.recorded_session",
    *("tracetui.recording.npz", "tracetui.recording.dumps", "tracetui.formats.zip", "msgspec"),
    *("tracetui.ui.diff_", "tracetui.views.health.lines"),
    # The panes, the strip, the timeline and what commands do come once the screen has been painted.
    *(f"tracetui.debugger.readings.{name}" for name in ("attention", "experts", "heads", "planes", "value_map")),
    *("tracetui.ui.debugger_screen.parts", "tracetui.ui.debugger_screen.looks", "tracetui.ui.debugger_screen.edits"),
    *("tracetui.ui.panes.attention.", "tracetui.ui.panes.experts.", "tracetui.ui.panes.logits."),
    *("tracetui.ui.panes.tensor.pane", "tracetui.ui.panes.tensor.value_grid", "tracetui.ui.panes.tensor.summary"),
    *("tracetui.ui.widgets.heatmap", "tracetui.ui.widgets.timeline", "tracetui.ui.widgets.residual_line"),
    *("tracetui.views.experts", "tracetui.views.heatmap.matrix", "tracetui.views.charts.timeline"),
    *(
        f"tracetui.ui.dialogs.{name}"
        for name in (
            "ask",
            "compare",
            "config",
            "edits",
            "export",
            "generate",
            "health",
            "help",
            "jump",
            "lens",
            "open",
            "rope",
            "stops",
        )
    ),
)
"""What belongs to screens and files that are opened by a key, or is mounted behind the first paint."""

MOST_AT_FIRST = 250
"""Modules of tracetui's before the first paint; the screen with all of its panes takes a hundred more."""

CALL_MAIN = """
import sys
from tracetui.cli import main
unwanted = set(sys.argv.pop(1).split())
try:
    status = main()
except SystemExit as leaving:
    status = leaving.code
if pulled := unwanted & sys.modules.keys():
    sys.exit(f"pulls in {', '.join(sorted(pulled))}")
sys.exit(status)
"""


def modules(folder: Path, package: str) -> Iterator[str]:
    """Every module under the folder, by full name, without importing any."""
    yield package
    for found in pkgutil.iter_modules([str(folder)]):
        name = f"{package}.{found.name}"
        if found.ispkg:
            yield from modules(folder / found.name, name)
        else:
            yield name


ALL = sorted(modules(Path(tracetui.__file__).parent, "tracetui"))
BELOW_THE_TOWERS = [name for name in ALL if not name.startswith((*MODEL_SIDE, *SCREEN))]


def fresh_python(snippet: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", snippet, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def assert_free_of(unwanted: tuple[str, ...], names: list[str]) -> None:
    done = fresh_python(IMPORT_ONE_BY_ONE, " ".join(unwanted), " ".join(names))
    assert done.returncode == 0, done.stderr


def test_the_walk_finds_modules_at_every_depth() -> None:
    assert {
        "tracetui",
        "tracetui.cli",
        "tracetui.debugger.session",
        "tracetui.recording.record",
        "tracetui.ui.widgets",
    } <= set(ALL)


def test_below_the_towers_nothing_loads_torch_transformers_or_textual() -> None:
    assert_free_of((*MODEL_LIBRARIES, *SCREEN_LIBRARIES), BELOW_THE_TOWERS)


def test_the_screen_loads_no_model_library() -> None:
    assert_free_of(MODEL_LIBRARIES, [name for name in ALL if name.startswith(SCREEN)])


def test_the_model_side_loads_no_screen() -> None:
    assert_free_of(SCREEN_LIBRARIES, [name for name in ALL if name.startswith(MODEL_SIDE)])


def test_importing_tracetui_alone_loads_no_library_at_all() -> None:
    assert_free_of(SLOW_LIBRARIES, ["tracetui"])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_answers_before_any_library_is_loaded(arguments: list[str]) -> None:
    done = fresh_python(CALL_MAIN, " ".join(SLOW_LIBRARIES), *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("what", [["--csv"], ["--html", "r.html", "--diff", "d.npz"], ["--png", "x", "-o", "x.png"]])
def test_an_export_loads_neither_model_nor_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("t.npz", "d.npz"):
        np.savez(tmp_path / name, x=np.ones((2, 3)))
    done = fresh_python(CALL_MAIN, " ".join((*MODEL_LIBRARIES, *SCREEN_LIBRARIES)), "export", "t.npz", *what)
    assert done.returncode == 0, done.stderr


def test_the_list_of_models_loads_no_library_at_all() -> None:
    done = fresh_python(CALL_MAIN, " ".join(SLOW_LIBRARIES), "models")
    assert done.returncode == 0, done.stderr


def test_the_first_paint_waits_for_nothing_that_opens_later() -> None:
    done = fresh_python(FIRST_PAINT)
    assert done.returncode == 0, done.stderr
    assert {"tracetui.ui.debugger_screen.screen", "tracetui.tracer.live"} <= set(done.stdout.split())
    later = [name for name in done.stdout.split() if name.startswith(LATER)]
    assert later == []
    assert "numpy" not in done.stdout.split()
    ours = [name for name in done.stdout.split() if name.startswith("tracetui")]
    assert len(ours) <= MOST_AT_FIRST


def test_the_home_screen_is_painted_before_numpy_and_the_debugger_are_loaded() -> None:
    done = fresh_python(FIRST_PAINT_AT_HOME)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "tracetui.ui.home.screen" in loaded
    assert not set(loaded) & ({*SLOW_LIBRARIES, "msgspec"} - {"textual"})
    allowed = tuple(f"tracetui.{name}" for name in AT_HOME)
    packages = {prefix for name in allowed for prefix in (name.rpartition(".")[0], "tracetui", "tracetui.debugger")}
    ours = [name for name in loaded if name.startswith("tracetui") and name not in packages]
    assert [name for name in ours if not name.startswith(allowed)] == []
    assert len(ours) <= 45


@pytest.mark.parametrize("arguments", [["info", "t.npz"]])
def test_a_command_without_a_model_loads_no_options_of_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "t.npz", x=np.ones((2, 3)))
    done = fresh_python(CALL_MAIN, "tracetui.recipe tracetui.expr.edit", *arguments)
    assert done.returncode == 0, done.stderr


def test_a_keymap_may_name_keys_of_dialogs_that_were_not_opened() -> None:
    snippet = "from tracetui.ui.app import TracetuiApp; from tracetui.ui.keys.bound import binding_ids; "
    done = fresh_python(f"{snippet}print({{'lens_close', 'diff_clue', 'over'}} - binding_ids(TracetuiApp))")
    assert done.stdout == "set()\n", done.stdout + done.stderr


def test_traces_are_opened_compared_and_asserted_without_torch(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.ones((2, 3)))
    snippet = "import sys, tracetui; from tracetui.testing import assert_same_trace; assert_same_trace(*sys.argv[1:])"
    snippet += "; repr(tracetui.open_trace(sys.argv[1])); sys.exit(bool({'torch', 'textual'} & sys.modules.keys()))"
    done = fresh_python(snippet, *[str(tmp_path / "t.npz")] * 2)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["models"]])
def test_who_names_no_model_of_the_hub_doesn_t_load_its_library(arguments: list[str]) -> None:
    done = fresh_python(
        CALL_MAIN, " ".join((*MODEL_LIBRARIES, *SCREEN_LIBRARIES, "huggingface_hub", "httpx2")), *arguments
    )
    assert done.returncode == 0, done.stderr


def test_a_model_in_the_hub_s_cache_is_found_without_torch() -> None:
    snippet = (
        "import sys; from tracetui.recipe import load_recipe\ntry: load_recipe('a/b')\nexcept Exception as e: print(e)"
    )
    snippet += "\nsys.exit(bool({'torch', 'transformers', 'textual'} & sys.modules.keys()))"
    done = fresh_python(snippet)
    assert done.returncode == 0, done.stderr
    assert "isn't in the local cache" in done.stdout


def test_an_unwanted_import_is_noticed_and_named() -> None:
    done = fresh_python(IMPORT_ONE_BY_ONE, "colorsys", "json colorsys")
    assert done.returncode == 1
    assert done.stderr.strip() == "importing colorsys pulls in colorsys"
