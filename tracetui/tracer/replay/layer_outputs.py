"""What a run's layers leave behind beside their records: the form of what they returned, and their rows of the cache.

With both, a layer that ran once need not run again: a stub gives back the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from tracetui.models.pass_through import PassThrough
from tracetui.recording.record import is_layer, layer_of
from tracetui.tracer.capture.outputs import tensors_in, with_others
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.replay.stubs import RecordedLayer

_STATES = ("cache", "cache_params", "state", "layer_past")
_CACHE_FIELDS = frozenset({"layers", "layer_class_to_replicate", "offloading"})
_OTHER_CACHE = "this family keeps its cache in a form that can't be put back"
_SEVERAL_PLACES = "this family's layers have several places in the cache each"
Rows = tuple[torch.Tensor, torch.Tensor]
"""What a layer added to its keys and values in one pass, [B,G,T,K] and [B,G,T,Kv]."""


@dataclass(frozen=True, eq=False, slots=True)
class _Form:
    """A layer's output, on no memory where tensors stood."""

    output: Any
    tensors: int


class LayerOutputs:
    """One run's. Used by the model's thread alone."""

    def __init__(self) -> None:
        self.odd = ""
        """Why this run's layers can't be replaced; empty if they can."""
        self._forms: dict[str, _Form] = {}
        self._rows: dict[str, list[Rows]] = {}
        self._places: set[int | None] = set()
        """In the cache: of layers that have returned, and of those that were left out."""
        self._cache: DynamicCache | None = None

    @property
    def has_cache(self) -> bool:
        """Whether the layers were given a cache with known rows."""
        return self._cache is not None

    def carry(self, past: LayerOutputs, layers: tuple[str, ...], pass_: int) -> None:
        """Take over another run's layer outputs before a pass, and of that pass those of these layers."""
        self.odd, self._forms, self._cache = past.odd, dict(past._forms), past._cache
        self._rows = {path: rows[: pass_ + (path in layers)] for path, rows in past._rows.items()}
        self._places = set(past._places)

    @contextmanager
    def watched(self, model: nn.Module, recorder: Recorder) -> Iterator[None]:
        """Look at what every layer returns, for the length of a `with`, before anybody else does."""
        handles = []
        try:
            for path, module in model.named_modules():
                if isinstance(module, PassThrough):
                    self._places.add(layer_of(path))
                elif is_layer(path) and not isinstance(module, RecordedLayer):
                    look = partial(self._returned, path, recorder)
                    handles.append(module.register_forward_hook(look, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _returned(
        self,
        path: str,
        recorder: Recorder,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        output: Any,
    ) -> None:
        if self.odd:
            return
        if isinstance(output, list | tuple) and not all(
            item is None or isinstance(item, torch.Tensor) for item in output
        ):
            self.odd = "this family's layers return more than tensors"
            return
        tensors = list(tensors_in(output, whole=True))
        nothing = {place: torch.empty(0) for place in range(len(tensors))}
        self._forms[path] = _Form(with_others(output, nothing, whole=True), len(tensors))
        cache = cache_in(args, kwargs)
        if cache is None:
            self.odd = _OTHER_CACHE if any(kwargs.get(name) is not None for name in _STATES) else ""
        elif (layer := _entry(cache, module, path)) is None:
            self.odd = _OTHER_CACHE
        else:
            assert isinstance(cache, DynamicCache)
            self._cache = cache
            self._note(path, layer, recorder.pass_)
            self._places.add(_index(module, path))
            if not recorder.pass_ and self._has_other_entries(cache):
                self.odd = _SEVERAL_PLACES

    def _note(self, path: str, layer: DynamicLayer, pass_: int) -> None:
        keys, values = layer.keys, layer.values
        if keys is None or values is None:
            self.odd = _OTHER_CACHE
            return
        # The prompt's as they are: nobody writes to them. Of a later pass the last row alone.
        rows = (keys[..., -1:, :].clone(), values[..., -1:, :].clone()) if pass_ else (keys, values)
        self._rows.setdefault(path, [])[pass_:] = [rows]

    def give(self, path: str, tensors: list[torch.Tensor]) -> Any:
        """What a layer returned, with these tensors in it; None if it isn't known."""
        form = self._forms.get(path)
        if form is None or form.tensors != len(tensors):
            return None
        return with_others(form.output, dict(enumerate(tensors)), whole=True)

    def knows(self, path: str, pass_: int, cached: bool) -> bool:
        """Whether a layer's output and, of a run with a cache, what it put there in a pass are known."""
        return path in self._forms and (not cached or len(self._rows.get(path, ())) > pass_)

    def _has_other_entries(self, cache: DynamicCache) -> bool:
        """Whether something is in the cache, as a layer returns, that no layer which returned has put in its place.

        Asked only then: a layer that is still running has put its keys there already.
        """
        return any(place not in self._places and layer.keys is not None for place, layer in enumerate(cache.layers))

    def put_back(self, path: str, module: nn.Module, cache: Cache, pass_: int, positions: int) -> None:
        """Put in a cache what a layer put there in a pass, after which it had seen so many positions."""
        index = _index(module, path)
        cache.update(*self._rows[path][pass_], index)
        if isinstance(layer := cache.layers[index], DynamicSlidingWindowLayer):
            # Of a long prompt the window's rows alone are known.
            layer.cumulative_length = positions

    def cache_before(self, model: nn.Module, pass_: int, positions: int) -> DynamicCache:
        """A cache as it was before a pass, when it held so many positions of each row."""
        assert self._cache is not None
        cache = copy.copy(self._cache)
        known = {_index(model.get_submodule(path), path): rows[:pass_] for path, rows in self._rows.items()}
        cache.layers = [
            _filled(layer, known.get(index, []), positions) for index, layer in enumerate(self._cache.layers)
        ]
        return cache


def cache_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Cache | None:
    """The cache that a layer is given."""
    return next((value for value in (*args, *kwargs.values()) if isinstance(value, Cache)), None)


def _entry(cache: Cache, module: nn.Module, path: str) -> DynamicLayer | None:
    """A layer's own entry of a cache, if nothing but keys and values is in it."""
    index = _index(module, path)
    # A field more is what some family's layers share with each other.
    if type(cache) is not DynamicCache or set(vars(cache)) != _CACHE_FIELDS or cache.offloading:
        return None
    layer = cache.layers[index] if index < len(cache.layers) else None
    return layer if type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) else None


def _index(module: nn.Module, path: str) -> int:
    """A layer's place in the cache."""
    found = (vars(part).get("layer_idx") for part in module.modules())
    return next((each for each in found if isinstance(each, int)), layer_of(path) or 0)


def _filled(layer: Any, rows: list[Rows], positions: int) -> Any:
    """An entry of a cache, with what was added pass by pass."""
    fresh = copy.copy(layer)
    if layer.keys is None:
        return fresh
    if rows:
        keys, values = (torch.cat(parts, dim=-2) for parts in zip(*rows, strict=True))  # [B,G,S,K], [B,G,S,Kv]
    else:
        # That of a layer which was left out: nothing but its length counts.
        keys = values = layer.keys.new_zeros(layer.keys.shape[0], 1, positions, 1)  # [B,1,S,1]
    if isinstance(fresh, DynamicSlidingWindowLayer):
        keys, values = (part[:, :, -fresh.sliding_window + 1 :, :] for part in (keys, values))
        fresh.cumulative_length = positions
    fresh.keys, fresh.values = keys, values
    return fresh
