"""A venv in which there is no torch: what was recorded opens there, with every pane, and compares."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

import numpy as np
import pytest

from tests.packaging.test_wheel import CHECKOUT, environment_packages, home_packages, run
from tests.ui.recording import LOOK_AROUND, written

HEAVY = ("torch", "torchgen", "functorch", "transformers", "tokenizers", "safetensors", "tiktoken")
"""What only a model needs."""
SCREEN = f"""
import sys
from pathlib import Path
from tracetui.debugger.recorded_session import RecordedSession, open_recording
from tracetui.ui.app import TracetuiApp
from tracetui.debugger.start_page import page_of_recording

path = Path(sys.argv[1])
trace = open_recording(path)
{LOOK_AROUND}
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a venv with this environment's packages but the heavy ones, and the checkout."""
    home = tmp_path_factory.mktemp("light")
    venv.create(home, with_pip=False, symlinks=True)
    packages = home_packages(home)
    for folder in environment_packages():
        for entry in Path(folder).iterdir():
            light = entry.name.partition("-")[0].partition(".")[0].lower() not in HEAVY
            if light and not (packages / entry.name).exists() and entry.suffix != ".pth":
                (packages / entry.name).symlink_to(entry)
    (packages / "checkout.pth").write_text(f"{CHECKOUT}\n")
    return home / "bin" / "python"


def test_there_is_no_torch(python: Path, tmp_path: Path) -> None:
    for name in ("torch", "transformers"):
        done = subprocess.run(
            [python, "-c", f"import {name}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert f"No module named '{name}'" in done.stderr


def test_the_screen_opens(python: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "t.npz")
    assert run([str(python), "-c", SCREEN, str(path)], tmp_path).strip() == "whole"


def test_the_commands_over_recordings_work(python: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "t.npz")
    command = [str(python), "-m", "tracetui"]
    assert "records" in run([*command, "info", str(path)], tmp_path)
    assert "Same: " in run([*command, "diff", str(path), str(path)], tmp_path)
    for form in (["--csv", "-o", "t.csv"], ["--html", "t.html"]):
        run([*command, "export", str(path), *form], tmp_path)
    assert (tmp_path / "t.csv").read_text().startswith("step,key,site,")
    assert "<html" in (tmp_path / "t.html").read_text()


def test_python_reads_a_recording(python: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "t.npz")
    code = (
        "import sys, tracetui; trace = tracetui.open_trace(sys.argv[1]); "
        "print(trace.attention(0).probs(head=0).sum(axis=1).min(), 'torch' in sys.modules)"
    )
    least, heavy = run([str(python), "-c", code, str(path)], tmp_path).split()
    assert np.isclose(float(least), 1)
    assert heavy == "False"


def test_a_model_is_refused_in_plain_words(python: Path, tmp_path: Path) -> None:
    command = [str(python), "-m", "tracetui", "trace", "llama-tiny"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("tracetui: torch isn't installed, and a model needs it")
    assert "Traceback" not in done.stderr
