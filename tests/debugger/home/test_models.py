"""What the home screen lists of models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from tracetui.debugger.home.costs import COSTS
from tracetui.debugger.home.models import hub_section, shipped_section
from tracetui.recipe import load_recipe, shipped_recipes
from tracetui.tracer.engine import Engine


def test_every_shipped_recipe_is_listed_with_what_it_takes() -> None:
    rows = shipped_section().rows
    assert {row.name for row in rows} >= set(shipped_recipes())
    assert rows[0].name == "llama-tiny"
    assert (rows[0].about, rows[0].aside) == ("A Llama small enough to run at once", " 0.4 GiB      3 s")
    assert set(COSTS) == set(shipped_recipes())


@pytest.mark.parametrize("name", ["llama-tiny", "llama3-2layer"])
def test_the_memory_is_about_what_a_run_plans(name: str) -> None:
    """Without what tests hold already, and without weights that stay where there is more memory."""
    engine = Engine(replace(load_recipe(name), memory=1))
    planned = (engine.prepared.plan.peak - engine.prepared.plan.base) / 2**30
    assert planned + 0.3 <= COSTS[name].memory <= planned + 0.5, "with the program itself"


def test_models_in_the_hub_s_cache_are_listed_with_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0" * 40
    for name, files in (("a--b", ("config.json", "model.safetensors")), ("a--c", ("config.json",)), ("a--d", ())):
        folder = tmp_path / f"models--{name}"
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "blobs").mkdir()
        (folder / "refs" / "main").write_text(commit)
        for file in files:
            (folder / "blobs" / file).write_bytes(b"x" * 1024)
            (folder / "snapshots" / commit / file).symlink_to(folder / "blobs" / file)
    (tmp_path / "models--").mkdir()
    (tmp_path / "datasets--a--e").mkdir()
    assert [(row.command, row.about, row.aside) for row in hub_section().rows] == [
        (("run", "a/b"), "with weights", "2.00 KiB"),
        (("run", "a/c"), "its configuration alone", "1.00 KiB"),
    ]
