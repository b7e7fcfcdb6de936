"""`my_file.py:build_model`: a function in a Python file that makes a model. Nothing of the file is run here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tracetui.errors import InputError
from tracetui.paths import read_bounded
from tracetui.recipe.model import Layers, Recipe
from tracetui.recipe.prompts import Prompts
from tracetui.text import visible

_SUFFIX = ".py"
_MAX_BYTES = 16 * 2**20
_FORM = "my_file.py:build_model"


@dataclass(frozen=True, slots=True)
class Factory:
    """A function that makes a model."""

    path: Path
    function: str

    def __str__(self) -> str:
        return f"{self.path.name}:{self.function}"


def parse_factory(model: str) -> Factory | None:
    """The file and the function that a user means; None if they mean no Python file. The function may be empty."""
    file, colon, function = model.rpartition(":")
    if colon and file.endswith(_SUFFIX):
        return Factory(Path(file), function)
    return Factory(Path(model), "") if model.endswith(_SUFFIX) else None


def factory_recipe(factory: Factory) -> Recipe:
    """The recipe of a model that a file's code makes. The file is read, not run.

    Raises InputError for a file that isn't there or is no Python, and for a function that can't be in it.
    """
    tree = _parsed(factory.path)
    where, known = visible(str(factory.path), 200), list(dict.fromkeys(_functions(tree)))
    there = f"there {'are' if len(known) > 1 else 'is'} {', '.join(known[:20])}" if known else "the file has none"
    if not factory.function.isidentifier():
        raise InputError(f"{where}: name the function that makes the model, as in {_FORM}; {there}")
    if factory.function not in _names(tree) and not _imports_all(tree):
        raise InputError(f"{where}: has no function {visible(factory.function, 80)}; {there}")
    _check_arguments(tree, factory)
    return Recipe(
        name=str(factory),
        title=f"what {factory} makes",
        origin=str(factory),
        config={},
        layers=Layers(0, 0),
        tokenizer="",
        prompts=Prompts(),
        notes=(f"this runs the code in {factory.path.name}, which may do whatever it likes",),
        factory=factory,
    )


def _parsed(path: Path) -> ast.Module:
    content = read_bounded(path, _MAX_BYTES)
    try:
        return ast.parse(content, str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        at = f"{visible(str(path), 200)}{f':{line}' if line else ''}"
        raise InputError(f"{at}: is no Python: {visible(getattr(error, 'msg', None) or str(error), 200)}") from error


def _functions(tree: ast.Module) -> Iterator[str]:
    """The functions that the file itself has and that can be called without arguments."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not _required(node.args) and not node.name.startswith("_"):
            yield node.name


def _names(tree: ast.Module) -> set[str]:
    """Every name that the file may bind at its top, in whatever way."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
    return names


def _imports_all(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.alias) and node.name == "*" for node in ast.walk(tree))


def _check_arguments(tree: ast.Module, factory: Factory) -> None:
    """Raises InputError for a function that can't be called without arguments."""
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == factory.function]
    if defined and (required := _required(defined[-1].args)):
        names = ", ".join(visible(name, 60) for name in required)
        place = f"{visible(str(factory.path), 200)}:{defined[-1].lineno}"
        problem = f"{factory.function} needs {names}; a function that makes a model is called without arguments"
        raise InputError(f"{place}: {problem}")


def _required(arguments: ast.arguments) -> list[str]:
    """The arguments that a call has to give."""
    plain = [*arguments.posonlyargs, *arguments.args]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    without = plain[: len(plain) - len(arguments.defaults)]
    return [each.arg for each in (*without, *(each for each, default in named if default is None))]
