"""Running a file's code for the model that a function in it makes."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from tracetui.errors import InputError, TracetuiError, in_words
from tracetui.logs import write_log
from tracetui.models.given import ExistingModule, Inputs, given_model, vocabulary_of
from tracetui.models.runnable import Runnable, make_runnable
from tracetui.models.tokenizers import Tokenizer, load_tokenizer
from tracetui.models.tokenizers.given import given_tokenizer
from tracetui.recipe import Recipe
from tracetui.recipe.factory import Factory
from tracetui.text import visible

_NO_LIMIT = 2**31
_RETURNS = "an nn.Module, or a tuple of one with a tokenizer, with example inputs, or with both"


def runnable_of(recipe: Recipe, exact: bool = False) -> Runnable:
    """A recipe's model: what its function makes, or what is built of its configuration. Raises InputError.

    exact: the same weights, in float64.
    """
    if recipe.factory is None:
        return make_runnable(recipe, exact)
    if exact:
        raise InputError(f"{recipe.name}: a model that is given as code can't be built again in float64")
    return factory_model(recipe)


def factory_model(recipe: Recipe) -> ExistingModule:
    """The model that the recipe's function makes, in evaluation mode. Raises InputError for whatever goes wrong."""
    factory = recipe.factory
    assert factory is not None
    torch.manual_seed(recipe.seed)
    made = _made(factory)
    module, tokenizer, inputs = _parts(made, factory)
    if any(parameter.is_meta for parameter in module.parameters()):
        raise InputError(f"{factory}: its model has parameters without memory (device meta)")
    chosen = _tokenizer(recipe, tokenizer, vocabulary_of(module))
    return given_model(module.eval(), replace(recipe, notes=()), inputs, chosen, torch.no_grad, generates=True)


def _tokenizer(recipe: Recipe, tokenizer: object, vocabulary: int | None) -> Tokenizer:
    if recipe.tokenizer:
        return load_tokenizer(recipe.tokenizer, vocabulary or _NO_LIMIT, None)
    return given_tokenizer(tokenizer, vocabulary)


def _made(factory: Factory) -> object:
    """What the function returns. Raises InputError naming the file and the line of whatever the code raises."""
    try:
        return _function(factory)()
    except (TracetuiError, KeyboardInterrupt):
        raise
    except BaseException as error:
        log = write_log("factory", error)
        words = visible(in_words(error), 300)
        ended = " (its own program belongs under `if __name__ == '__main__':`)" * isinstance(error, SystemExit)
        raise InputError(f"{_place(factory, error)}: {words}{ended}{log and f'; the log is in {log}'}") from error


def _function(factory: Factory) -> Callable[[], object]:
    path = factory.path.absolute()
    name = f"tracetui_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{visible(str(factory.path), 200)}: can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        # As `python my_file.py` has it: the file may import what lies beside it.
        sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    function = getattr(module, factory.function, None)
    if not callable(function):
        raise InputError(f"{visible(str(factory.path), 200)}: {factory.function} is no function once the file has run")
    return function  # type: ignore[no-any-return]


def _place(factory: Factory, error: BaseException) -> str:
    """`my_file.py:12`: the last line of the file that the error came through."""
    path = str(factory.path.absolute())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return f"{visible(str(factory.path), 200)}{f':{lines[-1]}' if lines else ''}"


def _parts(made: object, factory: Factory) -> tuple[nn.Module, object, Inputs]:
    """The model, the tokenizer or None, and what the model is called with."""
    parts = made if isinstance(made, tuple) else (made,)
    if not parts or not isinstance(parts[0], nn.Module):
        raise InputError(f"{factory}: must return {_RETURNS}, got {_kind(made)}")
    tokenizer: object = None
    inputs = Inputs()
    for part in parts[1:]:
        if isinstance(part, torch.Tensor | Mapping | tuple | list):
            inputs = _inputs(part, factory)
        elif tokenizer is None and (callable(part) or hasattr(part, "encode")):
            tokenizer = part
        else:
            raise InputError(f"{factory}: must return {_RETURNS}, got {_kind(made)}")
    return parts[0], tokenizer, inputs


def _inputs(example: Any, factory: Factory) -> Inputs:
    if isinstance(example, torch.Tensor):
        return Inputs((example,))
    if not isinstance(example, Mapping):
        return Inputs(tuple(example))
    if not all(isinstance(name, str) for name in example):
        raise InputError(f"{factory}: example inputs by name need texts as names")
    return Inputs((), dict(example))


def _kind(made: object) -> str:
    if isinstance(made, tuple):
        return f"a tuple of {', '.join(_kind(part) for part in made[:6]) or 'nothing'}"
    return "nothing" if made is None else visible(type(made).__name__, 60)
