"""Attention that a module computes by itself, made out from its own products and its softmax.

Classes outside transformers' interface call torch directly. While such a module runs, its calls are overheard: a
product, what is made of it up to a softmax, and the product of that with the values. That is an attention call like any
other; nothing of the class is replaced, and other models don't notice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tracetui.tracer.attention.attends_itself import is_called_attention
from tracetui.tracer.attention.chunked import Chunks, chunks_of, followed
from tracetui.tracer.attention.explicit import Show
from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.attention.own_matrices import OwnMatrices
from tracetui.tracer.attention.own_product import Product, SoftmaxOutput, product_of
from tracetui.tracer.attention.score_chain import PRODUCTS, VIEWS, Chain, chain_of
from tracetui.tracer.observer import KernelObserver, is_in_kernel

_NO_CHANGE = VIEWS | {"dropout", "dropout_"}
"""What leaves probabilities as they are, dropout outside of training."""

_BESIDE = ("cat", "concat", "concatenate")
"""What puts sinks behind the keys."""
_ROUNDING = 2.0**-6
"""By how much a row of probabilities may miss 1, in bfloat16."""


@dataclass(eq=False, slots=True)
class _Running:
    """A module whose attention is listened to."""

    path: str
    module: nn.Module
    batch: int
    heard: bool = False
    seen: dict[int, tuple[torch.Tensor, Chain | SoftmaxOutput | Chunks]] = field(default_factory=dict)
    """By identity, the tensors whose origin is known; kept so that no other takes their place."""


class Overhearing(TorchFunctionMode):
    """Reports the attention calls of the modules that begin and end here to an observer."""

    def __init__(self, observer: KernelObserver, unheard: Callable[[nn.Module], None]) -> None:
        """unheard: told of a module that is called attention and ended without any."""
        super().__init__()
        self._observer = observer
        self._unheard = unheard
        self._running: list[_Running] = []
        self._on = False

    def begin(self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A module that attends by itself is about to run."""
        given = (each for each in (*args, *kwargs.values()) if isinstance(each, torch.Tensor) and each.dim() > 1)
        first = next(given, None)
        batch, quiet = 0 if first is None else first.shape[0], not is_called_attention(module)
        self._running.append(_Running(path, module, batch, quiet))
        if not self._on:
            self._on = True
            self.__enter__()  # type: ignore[no-untyped-call]

    def end(self, path: str) -> None:
        """It has ended."""
        while self._running and (ended := self._running.pop()).path != path:
            # Its error was caught: it has begun and will never end.
            ended.heard = True
        if not ended.heard:
            self._unheard(ended.module)
        if not self._running:
            self.close()

    def close(self) -> None:
        """Listen to nobody."""
        self._running.clear()
        if self._on:
            self._on = False
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not self._running:
            return func(*args, **kwargs)
        if is_in_kernel():
            # A kernel of transformers' interface, called from a class of somebody's own, has told of itself.
            self._heard()
            return func(*args, **kwargs)
        running = self._running[-1]
        if func is F.scaled_dot_product_attention:
            return self._fused(func, running, args, kwargs)
        name = getattr(func, "__name__", "")
        weights = _first(running.seen, args)
        if name in PRODUCTS and weights is not None and isinstance(weights[1], SoftmaxOutput):
            found = None
            with suppress(Exception):
                found = product_of(name, args, weights[0], weights[1], running.module)
            if found is not None:
                return self._mixed(func, args, kwargs, found, running)
        chunks = weights[1] if name in PRODUCTS and weights is not None else None
        if isinstance(chunks, Chunks) and chunks.weighed is not None:
            return self._in_chunks(func, args, kwargs, chunks, running)
        result = func(*args, **kwargs)
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            # Whatever a class does with its tensors, looking on must not be what fails.
            with suppress(Exception):
                _follow(name, args, kwargs, result, running)
        return result

    def _in_chunks(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], chunks: Chunks, running: _Running
    ) -> Any:
        """The product of a chunk's probabilities [B,H,N,C,C'] and values [B,H,N,C',Kv]."""
        self._heard()
        key, value = chunks.own_part(chunks.key), chunks.own_part(args[1])
        own = chunks.matrices(args[0])
        call = KernelCall(running.module, chunks.whole_query, key, value, None, {"scaling": 1.0}, own)
        self._observer.kernel_in(call, lambda: replace(call.described("eager"), is_causal=False))
        result = func(*args, **kwargs)
        kept = self._observer.kernel_out(heads := result.flatten(2, 3))  # [B,H,T,Kv]
        running.seen.clear()
        return result if kept is heads else kept.reshape(result.shape)

    def _heard(self) -> None:
        for running in self._running:
            running.heard = True

    def _fused(self, func: Any, running: _Running, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """torch's own kernel, called by the module itself."""
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        query, key, value, mask = (given.get(name) for name in names[:4])
        if not all(isinstance(each, torch.Tensor) and each.dim() == 4 for each in (query, key, value)):
            return func(*args, **kwargs)
        assert isinstance(query, torch.Tensor)
        assert isinstance(key, torch.Tensor)
        assert isinstance(value, torch.Tensor)
        causal, dropout = bool(given.get("is_causal", False)), float(given.get("dropout_p", 0.0))
        arguments = {"scaling": given.get("scale"), "is_causal": causal, "dropout": dropout}
        four = None if mask is None else mask.reshape((1,) * (4 - mask.dim()) + tuple(mask.shape))  # [B,1 or H,T,S]
        self._heard()
        call = KernelCall(running.module, query, key, value, four, arguments)
        described = replace(call.described("sdpa"), is_causal=causal)
        call = self._observer.kernel_in(call, lambda: described)
        given |= {"query": call.query, "key": call.key, "value": call.value}
        return self._observer.kernel_out(func(**given))

    def _mixed(
        self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], found: Product, running: _Running
    ) -> Any:
        """The product with the values: the end of an attention call, of which all is known now."""
        self._heard()
        call = found.call
        described = replace(call.described("eager"), is_causal=False)
        call = self._observer.kernel_in(call, lambda: described)
        show = self._observer.kernel_step(call)
        assert call.own is not None
        probabilities = call.own.probabilities if show is None else shown_steps(call.own, call.mask, show)
        changed = found.with_operands(args, probabilities, call.value)
        result = func(*changed, **kwargs)
        heads = found.heads(result)  # [B,H,T,Kv]
        kept = self._observer.kernel_out(heads)
        running.seen.clear()
        return result if kept is heads else found.as_returned(kept, result)


def shown_steps(own: OwnMatrices, mask: torch.Tensor | None, show: Show) -> torch.Tensor:
    """The probabilities [B,H,T,S] after scores, masked scores and they themselves were shown, with their edits."""
    masked = own.masked
    if own.scores is not None:
        scores = own.scores()  # [B,H,T,S]
        edited = show("scores", scores)
        if edited is not scores:
            masked = torch.where(edited == scores, masked, edited if mask is None else edited + mask)
    edited = show("masked", masked)
    changed = (edited != own.masked).any(dim=-1, keepdim=True)  # [B,H,T,1]
    probabilities = own.probabilities
    if changed.any():
        softened = edited.softmax(dim=-1, dtype=torch.float32).to(probabilities.dtype)
        probabilities = torch.where(changed, softened, probabilities)
    return show("probs", probabilities)


def _first(
    seen: Mapping[int, tuple[torch.Tensor, Chain | SoftmaxOutput | Chunks]], args: tuple[Any, ...]
) -> tuple[torch.Tensor, Chain | SoftmaxOutput | Chunks] | None:
    """The first argument with a known origin."""
    return next((seen[id(each)] for each in args if id(each) in seen), None)


def _begun(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: torch.Tensor, running: _Running
) -> Chain | Chunks | None:
    """What may become attention's scores."""
    if result.dim() == 5:
        return chunks_of(running.module, *args[:2])
    return chain_of(name, args, kwargs, result, running.batch)


def _is_softmax(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: torch.Tensor) -> bool:
    """Whether a step is the softmax over keys; also one by hand, whose logarithm of the sum was taken off before."""
    if name == "exp":
        return bool((result.sum(dim=-1) - 1).abs().max() < _ROUNDING)
    return name == "softmax" and kwargs.get("dim", args[1] if len(args) > 1 else None) in (-1, result.dim() - 1)


def _follow_sinks(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: torch.Tensor, running: _Running) -> None:
    """Know scores behind whose keys a column of sinks was put."""
    parts, dim = args[0], kwargs.get("dim", args[1] if len(args) > 1 else 0)
    found = running.seen.get(id(parts[0]))
    if found is not None and isinstance(found[1], Chain) and (chain := found[1].beside(parts, dim, found[0])):
        running.seen[id(result)] = (result, chain)


def _is_without_sinks(origin: SoftmaxOutput, whole: torch.Tensor, part: torch.Tensor) -> bool:
    """Whether a part of the probabilities is all of them but the sinks' column, which is the last."""
    keys = origin.chain.shape[-1]
    if origin.chain.sinks is None or part.shape != (*whole.shape[:-1], keys) or whole.shape[-1] != keys + 1:
        return False
    return part.storage_offset() == whole.storage_offset()


def _follow(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: torch.Tensor, running: _Running
) -> None:
    """Know what a tensor is that has just been made."""
    seen = running.seen
    found = _first(seen, args)
    if name in _BESIDE:
        _follow_sinks(args, kwargs, result, running)
        return
    if found is None:
        begun = _begun(name, args, kwargs, result, running) if name in PRODUCTS else None
        if begun is not None:
            seen[id(result)] = (result, begun)
        return
    tensor, origin = found
    if isinstance(origin, Chunks):
        if (chunks := followed(origin, name, tensor, result)) is not None:
            seen[id(result)] = (result, chunks)
        return
    made: Chain | SoftmaxOutput
    if name == "__getitem__" and isinstance(origin, SoftmaxOutput) and _is_without_sinks(origin, tensor, result):
        seen[id(result)] = (result, origin)
        return
    if isinstance(origin, SoftmaxOutput):
        made = origin if name in _NO_CHANGE and not running.module.training else replace(origin, changed=True)
    elif _is_softmax(name, args, kwargs, result):
        made = SoftmaxOutput(origin, tensor)
    else:
        made = origin.after(name, args, kwargs, tensor)
    if result.numel() == tensor.numel():
        seen[id(result)] = (result, made)
