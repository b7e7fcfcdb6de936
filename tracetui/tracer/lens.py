"""What a model would predict from the residual stream after each layer: its own final norm and output matrix on it.

All layers go through the output matrix together while its weight is in place, which makes the lens affordable where
weights are made or read just before they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from tracetui.models.memory.plan import LENS_BYTES
from tracetui.recording.record import Token, is_layer, layer_of
from tracetui.tracer.capture.recorder import Recorder

_UNCLEAR = (
    "lens: this model does something between its last layer and its logits that the lens doesn't know; "
    "the last layer's lens is not what the model predicts"
)
Best = tuple[torch.Tensor, torch.Tensor]
_CLOSE = 0.02
"""How far apart, against their size, the logits may lie that are known to be rounded in another order."""


class Lens:
    """Watches one model's passes; nothing is kept from one to the next."""

    def __init__(
        self,
        model: nn.Module,
        recorder: Recorder,
        count: int,
        token: Callable[[int], Token],
        in_place: Callable[[nn.Module], AbstractContextManager[None]],
    ) -> None:
        """count: tokens for each place. token: what an id stands for. in_place: has a module's weights there."""
        head = getattr(model, "get_output_embeddings", lambda: None)()
        self._head: nn.Module | None = head if isinstance(head, nn.Module) else None
        self._config = getattr(model, "config", None)
        self._recorder = recorder
        self._count = count
        self._token = token
        self._in_place = in_place
        self._layers: dict[str, torch.Tensor] = {}
        self._norm: nn.Module | None = None
        self._expected: torch.Tensor | None = None

    def returned(self, path: str, module: nn.Module, args: tuple[Any, ...], output: object, depth: int) -> None:
        """A module has run, and its own weights still stand."""
        if is_layer(path):
            tensor = next(_tensors(output), None)
            if tensor is not None:
                self._layers[path], self._norm = tensor, None
        elif module is self._head:
            if self._layers and args and isinstance(output, torch.Tensor):
                self._look(module, args[0], output, path, depth)
        elif not path:
            self._check(output)
        elif (
            layer_of(path) is None and not any(True for _ in module.children()) and self._layers and self._norm is None
        ):
            # The first module without others in it that runs after the last layer.
            self._norm = module

    def _look(self, head: nn.Module, given: torch.Tensor, output: torch.Tensor, path: str, depth: int) -> None:
        last = list(self._layers.values())[-1]
        streams = {site: stream for site, stream in self._layers.items() if stream.shape == last.shape}
        self._layers = {}
        normed = self._normed(list(streams.values()))  # L × [B,T,D]
        exact = normed[-1].shape == given.shape and torch.equal(normed[-1].nan_to_num(), given.nan_to_num())
        self._expected = self._final(output)[..., -1, :] if exact else None  # [B,V]
        if not exact:
            self._recorder.note(_UNCLEAR)
        found = list(self._predicted(head, normed[:-1] if exact else normed))
        if exact:
            # The model's own logits: a product of another size may be rounded in another order.
            found.append(self._best(output))
        for site, (ids, probs) in zip(streams, found, strict=True):
            self._recorder.know({each: self._token(each) for each in _distinct(ids)})
            for role, tensor in (("lens_ids", ids), ("lens_probs", probs)):
                self._recorder.record(f"{site}:{role}", tensor, depth=depth + 1, parent=path)

    def _normed(self, streams: list[torch.Tensor]) -> list[torch.Tensor]:
        if self._norm is None:
            return streams
        with self._in_place(self._norm):
            return [self._norm.forward(stream) for stream in streams]

    def _predicted(self, head: nn.Module, normed: list[torch.Tensor]) -> Iterator[Best]:
        """The best ids of each layer and their probabilities, [B,T,k] each, by one product in blocks of rows."""
        if not normed:
            return
        stacked = torch.stack(normed)  # [L,B,T,D]
        rows = stacked.reshape(-1, stacked.shape[-1])  # [N,D]
        size = max(1, LENS_BYTES // (4 * next(head.parameters()).shape[0]))
        best = [self._best(head.forward(rows[start : start + size])) for start in range(0, len(rows), size)]
        ids, probs = (torch.cat(parts).view(*stacked.shape[:-1], -1) for parts in zip(*best, strict=True))
        yield from zip(ids, probs, strict=True)

    def _best(self, logits: torch.Tensor) -> Best:
        """The most probable ids for logits [...,V] and their probabilities, [...,k] each."""
        shares = self._final(logits).float().softmax(dim=-1)  # [...,V]
        best = shares.topk(min(self._count, shares.shape[-1]), dim=-1)
        return best.indices, best.values

    def _final(self, logits: torch.Tensor) -> torch.Tensor:
        """What the family does to its logits after the output matrix, as its configuration tells."""
        if (scale := _number(self._config, "logit_scale")) is not None:
            logits = logits * scale
        if (divisor := _number(self._config, "logits_scaling")) is not None:
            logits = logits / divisor
        if (factor := _number(self._config, "lm_head_multiplier")) is not None:
            logits = logits * factor
        if (cap := _number(self._config, "final_logit_softcapping")) is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits

    def _check(self, output: object) -> None:
        """Whether the model's own logits are those that the last layer's lens was taken from."""
        logits = getattr(output, "logits", None)
        expected, self._expected = self._expected, None
        if expected is None or not isinstance(logits, torch.Tensor) or logits.dim() != 3:
            return
        own = logits[:, -1].float()  # [B,V]
        if not torch.allclose(own, expected.float(), rtol=_CLOSE, atol=_CLOSE * float(own.abs().max()), equal_nan=True):
            self._recorder.note(_UNCLEAR)


def _distinct(ids: torch.Tensor) -> Iterable[int]:
    found: list[int] = ids.flatten().tolist()
    return sorted(set(found))


def _tensors(output: object) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, list | tuple):
        yield from (item for item in output if isinstance(item, torch.Tensor))
    elif isinstance(output, Mapping):
        yield from (item for item in output.values() if isinstance(item, torch.Tensor))


def _number(config: object, name: str) -> float | None:
    found = getattr(config, name, None)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
