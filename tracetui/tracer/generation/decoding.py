"""A model fed with its own choices: a pass over the prompts, then a pass for every further token, with its cache."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig
from transformers.cache_utils import Cache, CacheLayerMixin

from tracetui.errors import InputError
from tracetui.models.cache_argument import CACHE
from tracetui.models.pass_through import PassThrough
from tracetui.models.ranks.stages import is_elsewhere
from tracetui.recipe import Generation
from tracetui.recording.record import layer_of

_CACHES = (CACHE, "past_key_values", "cache_params", "state", "mems")
"""The arguments in which families keep what they need of earlier passes."""
_LOOP = ("logits_processor", "stopping_criteria", "generation_config")
"""What `generate` gives its loop, and no model."""


@dataclass(frozen=True, eq=False, slots=True)
class DecoderState:
    """How far a batch is before a pass, without its cache."""

    ids: torch.Tensor
    """[B,T]"""
    arguments: dict[str, Any]
    positions: int


class Decoder:
    """One batch on its way through a causal model of transformers, in whatever cache its family keeps.

    The arguments of each pass are those that transformers' own `generate` gives: a cache that the model makes itself,
    and positions that it counts from the cache, are others in some families of which a layer keeps no keys.
    """

    def __init__(self, model: nn.Module, ids: torch.Tensor) -> None:
        """ids: [B,T], rows without padding."""
        self.model: Any = model
        self._ids = ids
        self._arguments: dict[str, Any] = {}
        self._skipped = [layer_of(path) for path, module in model.named_modules() if _is_no_layer_here(module)]
        self._new = ids.shape[1]
        self.positions = 0
        """How many positions of each row have gone through the model."""

    @property
    def state(self) -> DecoderState:
        arguments = {name: value for name, value in self._arguments.items() if name not in _CACHES}
        return DecoderState(self._ids, arguments, self.positions)

    def at(self, state: DecoderState, cache: Cache | None) -> Decoder:
        """The same batch as it was before a pass, with the cache that it had."""
        earlier = Decoder(self.model, state.ids)
        earlier._arguments = {**state.arguments, CACHE: cache} if cache is not None else state.arguments
        earlier._new, earlier.positions = self.entering(state), state.positions
        return earlier

    @staticmethod
    def entering(state: DecoderState) -> int:
        """How many positions of each row go through the model in the pass that begins so."""
        return 1 if state.positions else state.ids.shape[1]

    def prompt(self) -> torch.Tensor:
        """The prompt pass; returns the logits [B,V] after each row's last token."""
        self._arguments = _first_arguments(self.model, self._ids)
        inputs = self.model.prepare_inputs_for_generation(self._ids, is_first_iteration=True, **self._arguments)
        # The logits of every position are recorded.
        inputs.pop("logits_to_keep", None)
        return self._went(self.model(**inputs, return_dict=True))

    def next(self, chosen: torch.Tensor) -> torch.Tensor:
        """A pass over one more token of each row [B]; returns the logits [B,V] after it."""
        self._ids = torch.cat((self._ids, chosen[:, None].to(self._ids.device)), dim=1)  # [B,T+1]
        self._new = 1
        inputs = self.model.prepare_inputs_for_generation(self._ids, next_sequence_length=1, **self._arguments)
        return self._went(self.model(**inputs, return_dict=True))

    @property
    def cached(self) -> bool:
        """Whether the model handed back what it needs to go on: every layer that ran has all positions in its cache."""
        if not any(value is not None for value in self._caches()):
            return False
        return all(layer.get_seq_length() == self.positions for layer in self._layers(self._skipped))

    def cache_bytes(self) -> int:
        """The size of what the model keeps for the next pass: keys and values, or states."""
        own = (tensor for cache in self._caches() for tensor in _tensors(cache, set(self._skipped)))
        # The address to be read by: for one to be written to torch would copy what a record shares.
        sizes = {tensor.const_data_ptr(): tensor.nbytes for tensor in own}  # type: ignore[attr-defined]
        return sum(sizes.values())

    def _went(self, output: Any) -> torch.Tensor:
        self.positions += self._new
        self._arguments = self.model._update_model_kwargs_for_generation(output, self._arguments)
        self._stand_in()
        logits: torch.Tensor = output.logits[:, -1].float()  # [B,V]
        return logits

    def _stand_in(self) -> None:
        """Layers that were left out count the positions like the others: the model asks the first where it is."""
        rows = self._ids.shape[0]
        for cache in self._caches():
            for layer in self._skipped:
                if isinstance(cache, Cache) and layer is not None and layer < len(cache.layers):
                    held = cache.layers[layer]
                    if isinstance(held, CacheLayerMixin):
                        nothing = torch.zeros(rows, 1, self._new, 1, device=self._ids.device)  # [B,1,T,1]
                        held.update(nothing, nothing)

    def _caches(self) -> Iterator[object]:
        yield from (self._arguments.get(name) for name in dict.fromkeys(_CACHES))

    def _layers(self, left_out: Sequence[int | None]) -> Iterator[CacheLayerMixin]:
        for cache in self._caches():
            if isinstance(cache, Cache):
                yield from (
                    layer
                    for index, layer in enumerate(cache.layers)
                    if isinstance(layer, CacheLayerMixin) and layer.is_initialized and index not in left_out
                )


def _first_arguments(model: Any, ids: torch.Tensor) -> dict[str, Any]:
    """What transformers' `generate` has ready for ids [B,T] before its first pass: a cache, positions, use_cache."""
    arguments: dict[str, Any] = {}

    def catch(model: nn.Module, input_ids: torch.Tensor, **prepared: Any) -> torch.Tensor:
        arguments.update(prepared)
        return input_ids

    takes = inspect.signature(model.forward).parameters
    # Else ids that stand for padding elsewhere would be hidden.
    mask = {"attention_mask": torch.ones_like(ids)} if "attention_mask" in takes else {}  # [B,T]
    model.generate(input_ids=ids, custom_generate=catch, generation_config=_greedy(), **mask)
    return {name: value for name, value in arguments.items() if name not in _LOOP}


def _greedy() -> GenerationConfig:
    return GenerationConfig(
        do_sample=False, num_beams=1, use_cache=True, max_new_tokens=1, cache_implementation="dynamic"
    )


def _is_no_layer_here(module: nn.Module) -> bool:
    """Whether it was left out, or another rank has it."""
    return isinstance(module, PassThrough) or is_elsewhere(module)


def _tensors(cache: object, left_out: set[int | None]) -> Iterator[torch.Tensor]:
    """The tensors that a cache holds, by whatever names; those of layers that were left out not among them."""
    if isinstance(cache, Cache):
        for index, layer in enumerate(cache.layers):
            if index not in left_out:
                yield from _found(vars(layer).values())
    elif cache is not None:
        yield from _found(vars(cache).values() if hasattr(cache, "__dict__") else (cache,))


def _found(values: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor) and value.dim():
            yield value
        elif isinstance(value, list | tuple | dict) and depth < 3:
            yield from _found(value.values() if isinstance(value, dict) else value, depth + 1)


class Chooser:
    """Chooses the next token of each row: the most probable one, or one drawn by a generator of its own."""

    def __init__(self, wanted: Generation, eos: object) -> None:
        """eos: the configuration's own, an id or several."""
        self._wanted = wanted
        own = [eos] if isinstance(eos, int) else eos if isinstance(eos, list | tuple) else []
        self._stops = frozenset(own if wanted.stop is None else wanted.stop)
        self._generator = torch.Generator().manual_seed(wanted.seed or 0)

    @property
    def drawn(self) -> torch.Tensor:
        """The generator's state."""
        return self._generator.get_state()

    def at(self, drawn: torch.Tensor) -> Chooser:
        """The same chooser with its generator in a state that it had."""
        earlier = copy.copy(self)
        earlier._generator = torch.Generator()
        earlier._generator.set_state(drawn)
        return earlier

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """The ids [B] for logits [B,V]. A NaN is never chosen."""
        logits = logits.float().cpu()  # [B,V]
        if not self._wanted.sampled:
            largest, ids = logits.max(dim=-1)  # [B] [B]
            if largest.isfinite().all():
                return ids
        logits = logits.nan_to_num(nan=-torch.inf, posinf=torch.finfo(torch.float32).max)  # [B,V]
        if not self._wanted.sampled:
            return logits.argmax(dim=-1)
        probabilities = _allowed(logits, self._wanted).softmax(dim=-1)  # [B,V]
        empty = ~probabilities.isfinite().all(dim=-1)  # [B]
        probabilities[empty] = 1.0
        return torch.multinomial(probabilities, 1, generator=self._generator).squeeze(1)

    def ends(self, token_id: int) -> bool:
        """Whether a row goes no further after this token."""
        return token_id in self._stops


def _allowed(logits: torch.Tensor, wanted: Generation) -> torch.Tensor:
    """The logits [B,V] over the temperature, -inf for tokens that top-k, and then top-p, leave out."""
    logits = logits / (1.0 if wanted.temperature is None else wanted.temperature)  # [B,V]
    if wanted.top_k is not None and wanted.top_k < logits.shape[-1]:
        least = logits.topk(wanted.top_k).values[:, -1:]  # [B,1]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if wanted.top_p is not None:
        ordered, places = logits.sort(dim=-1, descending=True, stable=True)  # [B,V]
        shares = ordered.softmax(dim=-1)  # [B,V]
        beyond = shares.cumsum(dim=-1) - shares >= wanted.top_p  # [B,V]
        logits = logits.masked_fill(beyond.scatter(-1, places, beyond), -torch.inf)
    return logits


def check_lengths(lengths: Sequence[int]) -> None:
    """Refuse to generate for rows of different length. Raises InputError."""
    if len(set(lengths)) > 1:
        raise InputError(
            f"generate: the prompts have {min(lengths)} to {max(lengths)} tokens; a shorter row's padding stands where "
            "its next token would go, so give prompts of the same length, or each alone"
        )
