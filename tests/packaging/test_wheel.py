"""The wheel as a stranger gets it: built, installed into an empty venv, used outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

import tracetui

CHECKOUT = Path(tracetui.__file__).parents[1]
SHIPPED_FOLDERS = ("themes", "demo_configs")
RECIPE = """
title = "tiny llama"
prompt = "hi"
dtype = "float32"
seed = 1
tokenizer = "builtin"
weights = "random"
[config]
model_type = "llama"
vocab_size = 4200
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 2
num_attention_heads = 4
num_key_value_heads = 2
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], CHECKOUT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a venv that holds the wheel and sees this environment's packages behind it."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    # A plain path line is appended to sys.path, and the .pth files in that folder are not read in turn:
    # so the checkout, which this environment may have installed as editable, stays out of sight.
    (home_packages(home) / "environment.pth").write_text("\n".join(environment_packages()) + "\n")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    run([str(python), *install], home)
    return python.parent


def home_packages(home: Path) -> Path:
    (found,) = home.glob("lib/python*/site-packages")
    return found


def environment_packages() -> set[str]:
    return {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}


def run(command: list[str], folder: Path) -> str:
    """What the command prints, run in the folder as somebody who has set no PYTHON… variable."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=ours, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def shipped_in_checkout() -> set[str]:
    """The wheel names of all that tracetui/, themes/ and demo_configs/ hold, but for the tokenizer's corpus."""
    files = (path for path in (CHECKOUT / "tracetui").rglob("*") if path.is_file() and path.suffix != ".pyc")
    package = [path for path in files if path.parent.name != "corpus"]
    inside = {str(path.relative_to(CHECKOUT)) for path in package}
    for folder in SHIPPED_FOLDERS:
        inside |= {f"tracetui/{folder}/{path.name}" for path in (CHECKOUT / folder).glob("*.toml")}
    return inside


def test_the_wheel_carries_the_package_its_themes_and_its_recipes(wheel: Path) -> None:
    carried = names_in(wheel)
    assert shipped_in_checkout() <= carried
    assert "tracetui/py.typed" in carried
    for folder in SHIPPED_FOLDERS:
        assert any(name.startswith(f"tracetui/{folder}/") and name.endswith(".toml") for name in carried), folder


def test_the_wheel_carries_nothing_else(wheel: Path) -> None:
    metadata = f"tracetui-{tracetui.__version__}.dist-info"
    carried = names_in(wheel)
    assert {name.split("/")[0] for name in carried} == {"tracetui", metadata}
    assert f"{metadata}/licenses/LICENSE" in carried
    assert not [name for name in carried if name.endswith((".pyc", ".npz", ".log"))]


def test_the_installed_package_is_the_wheels_own(installed: Path, tmp_path: Path) -> None:
    found = run([str(installed / "python"), "-c", "import tracetui; print(tracetui.__file__)"], tmp_path)
    assert Path(found.strip()).is_relative_to(installed.parent)
    assert tracetui.__version__ in run([str(installed / "tracetui"), "--version"], tmp_path)


def test_recipes_and_themes_are_found_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    tracetui_command = str(installed / "tracetui")
    listed = run([tracetui_command, "models"], tmp_path)
    for recipe in (CHECKOUT / "demo_configs").glob("*.toml"):
        assert recipe.stem in listed
    themes = Path(run([tracetui_command, "locate", "themes"], tmp_path).splitlines()[0])
    assert themes.is_relative_to(installed.parent)
    assert {path.name for path in themes.glob("*.toml")} == {path.name for path in (CHECKOUT / "themes").glob("*.toml")}


def test_a_trace_is_made_and_opens_in_plain_numpy(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    run([str(installed / "tracetui"), "trace", "tiny.toml", "-p", "hi", "-o", "t.npz"], tmp_path)
    with np.load(tmp_path / "t.npz") as trace:
        _, tokens, hidden = trace["model.layers.1"].shape  # B T D
        assert hidden == 32
        assert tokens >= 1
        assert trace["logits"].shape[-1] == 4200
