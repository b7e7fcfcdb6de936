"""A module that somebody has already, made ready to run: its weights are there, and it is called as they call it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig

from tracetui import __version__
from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.session import Module, PromptRow
from tracetui.errors import InputError
from tracetui.models.build import BuiltModel
from tracetui.models.module_tree import KnownModel, known_model
from tracetui.models.outline import outline_of_module
from tracetui.models.ranks.parallel import parallel_of
from tracetui.models.recordable.unshown import unshown
from tracetui.models.recordable.watchable import check_watchable
from tracetui.models.runnable import Runnable
from tracetui.models.tokenizers import Tokenizer, check_ids
from tracetui.models.weights.available_memory import available_bytes
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.sampled_prints import sampled_prints
from tracetui.models.weights.streaming import Weights
from tracetui.recipe import Layers, Prompts, Recipe
from tracetui.recording.record import Token
from tracetui.recording.trace import RunInfo
from tracetui.recording.weight_prints import WeightPrints
from tracetui.text import visible

_DEEPEST = 16
_GENERATING = ("prepare_inputs_for_generation", "_update_model_kwargs_for_generation", "generation_config")
"""What models of transformers have that can go on from their own choices."""
AS_GIVEN = Prompts()
"""Stands in place of prompts where the caller gave the module's inputs."""
NO_INPUTS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, eq=False, slots=True)
class Inputs:
    """What a module is called with."""

    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=lambda: NO_INPUTS)

    def __bool__(self) -> bool:
        return bool(self.args or self.kwargs)


@dataclass(frozen=True, eq=False, slots=True)
class ExistingModule(Runnable):
    """A module with its weights in place; nothing is made, and nothing is taken out."""

    inputs: Inputs = field(default_factory=Inputs)
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """What the calling thread had set: gradients, autocast, the default device."""
    generates: bool = False
    """Whether prompts are passed to the model as transformers' own `generate` does, so that it can generate tokens."""

    def outline(self) -> Module:
        return outline_of_module(known_model(self.built.module))

    def plan(self, base: int, tokens: int, rows: int, new: int, steps: bool = False) -> MemoryPlan:
        """The weights are part of what the process holds; what the module records nobody knows beforehand."""
        return MemoryPlan(0, 0, 0, 0, base, available_bytes())

    def described(self, ran: Recipe) -> tuple[dict[str, object], Mapping[str, object]]:
        plain = ran.plain()
        left = ("prompt", "random_tokens", "keep", "attention", "generate", "lens", "edits")
        fields = {name: plain[name] for name in left if plain.get(name)}
        return {**fields, "dtype": str(self.built.dtype).removeprefix("torch.")}, described(self.built.module).config

    def prints(self) -> WeightPrints:
        return sampled_prints(known_model(self.built.module))

    def call(self, prompts: Prompts) -> Callable[[], Any] | None:
        if prompts == AS_GIVEN:
            return partial(self.built.module, *self.inputs.args, **self.inputs.kwargs)
        if self.generates:
            return None
        rows = [[token.id for token in row.tokens] for row in self.reader.read(prompts)]
        if len({len(row) for row in rows}) > 1:
            raise InputError("prompts: of one length each, or one alone: nothing is known of this model's padding")
        ids = torch.tensor(rows, device=self.device)  # [B,T]
        named = "input_ids" in inspect.signature(self.built.module.forward).parameters
        return partial(self.built.module, input_ids=ids) if named else partial(self.built.module, ids)

    @property
    def device(self) -> torch.device:
        parameter = next(iter(self.built.module.parameters()), None)
        return torch.device("cpu") if parameter is None else parameter.device

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        with self.around():
            yield


def given_model(
    module: nn.Module,
    recipe: Recipe,
    inputs: Inputs,
    tokenizer: Tokenizer,
    around: Callable[[], AbstractContextManager[object]] = nullcontext,
    generates: bool = False,
) -> ExistingModule:
    """A module ready to run, with what it is called with; generates: whether it may go on from typed prompts."""
    known = known_model(module)
    check_watchable(known)
    config = getattr(module, "config", None)
    dtype = next((each.dtype for each in module.parameters() if each.is_floating_point()), torch.float32)
    causal = all(hasattr(module, name) for name in _GENERATING)
    reader = GivenReader(inputs, tokenizer, vocabulary_of(module))
    nothing = Weights(nn.Module(), dtype, RandomSource(0, 0.0), 0)
    return ExistingModule(
        recipe,
        BuiltModel(module, config, dtype),
        nothing,
        tokenizer,
        reader,
        (*recipe.notes, *unshown(known)),
        inputs=inputs,
        around=around,
        generates=generates and causal,
    )


def recipe_of(name: str, title: str, **fields: Any) -> Recipe:
    """What a run of a given module is asked for, in a recipe's words."""
    return Recipe(name, title, name, {}, Layers(0, 0), **{"prompts": AS_GIVEN, **fields})


def vocabulary_of(module: nn.Module) -> int | None:
    """How many token ids a model has, where it says so."""
    try:
        table = module.get_input_embeddings()  # type: ignore[operator]
    except Exception:
        # Whatever the model's own code makes of the question.
        return None
    return table.num_embeddings if isinstance(table, nn.Embedding) else None


class GivenReader:
    """Rows of tokens for a given module: those among its inputs, or what is typed."""

    def __init__(self, inputs: Inputs, tokenizer: Tokenizer, vocabulary: int | None) -> None:
        self._inputs = inputs
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary

    def read(self, prompts: Prompts) -> tuple[PromptRow, ...]:
        """The rows; none for inputs that are no token ids. Raises InputError."""
        if prompts == AS_GIVEN:
            if not self._inputs:
                raise InputError("prompt: is missing; give token ids, such as 1,2,3 (--tokens)")
            rows = tokens_of(self._inputs.args, self._inputs.kwargs)
            return tuple(PromptRow("", tuple(self._tokenizer.token(token.id) for token in row)) for row in rows)
        if prompts.chat:
            raise InputError("chat: a model that is given as code has no chat template here")
        if prompts.texts:
            return tuple(map(self._of_text, prompts.texts))
        ids = self._drawn(prompts.random) if prompts.random else prompts.ids
        return tuple(self._checked("", [self._tokenizer.token(token_id) for token_id in row]) for row in ids)

    def check_length(self, positions: int) -> None:
        """The model itself knows."""

    def _of_text(self, text: str) -> PromptRow:
        if not text.strip():
            raise InputError("prompt: is empty; type some text, or token ids such as 1,2,3")
        return self._checked(text, self._tokenizer.encode(text))

    def _drawn(self, size: tuple[int, int]) -> list[list[int]]:
        if self._vocabulary is None:
            raise InputError("--random-tokens: this model doesn't say how many token ids it has")
        drawn: list[list[int]] = np.random.default_rng(0).integers(0, self._vocabulary, size).tolist()
        return drawn

    def _checked(self, text: str, tokens: list[Token]) -> PromptRow:
        if not tokens:
            raise InputError("prompt: has no tokens")
        if self._vocabulary is not None:
            check_ids([token.id for token in tokens], self._vocabulary)
        return PromptRow(text, tuple(tokens))


def tokens_of(args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[tuple[Token, ...], ...]:
    """The rows of the ids [B,T], without what an attention mask [B,T] hides at their right."""
    ids, mask = kwargs.get("input_ids", args[0] if args else None), kwargs.get("attention_mask")
    if not isinstance(ids, torch.Tensor) or ids.dim() != 2 or ids.is_floating_point():
        return ()
    lengths = [ids.shape[1]] * ids.shape[0]
    if isinstance(mask, torch.Tensor) and mask.shape == ids.shape:
        places = torch.arange(1, ids.shape[1] + 1, device=mask.device)  # [T]
        lengths = ((mask != 0) * places).amax(dim=1).tolist()
    rows = zip(ids.tolist(), lengths, strict=True)
    return tuple(tuple(map(_unread, row[:length])) for row, length in rows)


@lru_cache(2**12)
def _unread(token_id: int) -> Token:
    """A token of which only the id is known."""
    return Token(token_id, b"")


def described(model: nn.Module, known: KnownModel | None = None, wrapper: nn.Module | None = None) -> RunInfo:
    """What a trace tells of a module that nobody built from a recipe; wrapper: by which ranks call it together."""
    config: Any = getattr(model, "config", None)
    told = plain_config(config) if known is None else known.once(_Configuration).told(config)
    parallel = parallel_of(wrapper or model, known or known_model(model))
    return RunInfo(
        model=type(model).__name__,
        config=told,
        versions={"tracetui": __version__, "torch": str(torch.__version__)},
        notes=() if parallel is None else parallel.notes,
        parallel=parallel,
    )


class _Configuration:
    """What a model's configuration tells, as long as its fields are what they were."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._fields: dict[str, object] | None = None
        self._told: dict[str, object] = {}

    def told(self, config: Any) -> dict[str, object]:
        """What it tells now."""
        if not isinstance(config, PreTrainedConfig):
            return plain_config(config)
        with suppress(Exception):
            # Values of any kind may be among them, those too that can't be compared or copied.
            if self._fields is not None and self._fields == vars(config):
                return dict(self._told)
        self._fields, self._told = None, plain_config(config)
        with suppress(Exception):
            self._fields = copy.deepcopy(vars(config))
        return dict(self._told)


def plain_config(config: Any) -> dict[str, object]:
    """All fields of a model's configuration object as a trace file holds them; none where it can't tell."""
    told = config
    with suppress(Exception):
        # The model's own code, which the run doesn't need.
        told = config.to_dict()
    return {str(name): _plain(value) for name, value in told.items()} if isinstance(told, Mapping) else {}


def _plain(value: object, depth: int = 0) -> object:
    """A configuration's value as a trace file holds it; what JSON has no form for as text."""
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {str(name): _plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        return [_plain(inner, depth + 1) for inner in value]
    return visible(str(value), 400)
