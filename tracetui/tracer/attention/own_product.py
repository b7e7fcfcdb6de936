"""Probabilities times values, as a module multiplies them, in its own layout and as [B,H,…]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tracetui.tracer.attention.kernel_call import KernelCall
from tracetui.tracer.attention.own_matrices import OwnMatrices
from tracetui.tracer.attention.score_chain import Axes, Chain, einsum_letters, permuted, split


@dataclass(frozen=True, eq=False, slots=True)
class SoftmaxOutput:
    """What a softmax made of a chain, on its way to the product with the values."""

    chain: Chain
    masked: torch.Tensor
    """What the softmax was given."""
    changed: bool = False
    """Whether something was done to them since."""


@dataclass(frozen=True, eq=False, slots=True)
class Product:
    """Probabilities times values, in the module's own layout and as [B,H,…]."""

    call: KernelCall
    place: int
    """Where the probabilities stand among the arguments; the values come after them."""
    letters: tuple[Axes, Axes, Axes] | None
    """An einsum's axes."""

    def with_operands(self, args: tuple[Any, ...], probabilities: torch.Tensor, value: torch.Tensor) -> tuple[Any, ...]:
        """The arguments, with operands that edits left otherwise; the very same where none did."""
        own = self.call.own
        assert own is not None
        changed = list(args)
        if probabilities is not own.probabilities:
            changed[self.place] = self._back(probabilities, args[self.place], 0)
        if value is not self.call.value:
            changed[self.place + 1] = self._back(value, args[self.place + 1], 1)
        return tuple(changed)

    def heads(self, result: torch.Tensor) -> torch.Tensor:
        """[B,H,T,Kv]"""
        if self.letters is not None:
            batch, heads, queries, _ = self.letters[0]
            last = next(letter for letter in self.letters[2] if letter not in self.letters[0])
            found = permuted(result, self.letters[2], (batch, heads, queries, last))
        else:
            found = split(result, self.call.query.shape[0])
        assert found is not None
        return found

    def as_returned(self, heads: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
        """Heads [B,H,T,Kv] in the layout of what the product returned."""
        return self._back(heads, result, 2)

    def _back(self, tensor: torch.Tensor, like: torch.Tensor, which: int) -> torch.Tensor:
        if self.letters is None:
            return tensor.reshape(like.shape)
        batch, heads, queries, keys = self.letters[0]
        last = next(letter for letter in self.letters[2] if letter not in self.letters[0])
        four = ((batch, heads, queries, keys), (batch, heads, keys, last), (batch, heads, queries, last))[which]
        return tensor.permute(*map(four.index, self.letters[which]))


def product_of(
    name: str, args: tuple[Any, ...], tensor: torch.Tensor, weights: SoftmaxOutput, module: nn.Module
) -> Product | None:
    """The end of an attention call; None where its parts have other forms than are known."""
    letters = einsum_letters(args) if name == "einsum" else None
    place = 1 if name == "einsum" else 0
    if name == "baddbmm" or len(args) <= place + 1 or args[place] is not tensor or (name == "einsum" and not letters):
        return None
    chain = weights.chain
    batch = chain.shape[0]
    probabilities, value = split(tensor, batch), _value(args[place + 1], letters, batch)
    masked = split(weights.masked if chain.levelled is None else chain.levelled, batch)
    if chain.sinks is not None and masked is not None:
        masked = masked[..., : chain.shape[-1]]
    if value is None or any(each is None or each.shape != chain.shape for each in (probabilities, masked)):
        return None
    assert probabilities is not None
    assert masked is not None
    scores = chain.computed if chain.known else None
    needed = weights.changed or not chain.known
    own = OwnMatrices(scores, masked, probabilities, needed, in_steps=chain.sinks is None)
    arguments = {"scaling": chain.scale, "softcap": chain.softcap, "position_bias": chain.bias, "is_causal": False}
    if chain.sinks is not None:
        arguments["sinks"] = chain.sinks
    mask = chain.mask if chain.known else None
    return Product(KernelCall(module, chain.query, chain.key, value, mask, arguments, own), place, letters)


def _value(tensor: Any, letters: tuple[Axes, Axes, Axes] | None, batch: int) -> torch.Tensor | None:
    """[B,G,S,Kv]"""
    if letters is None:
        return split(tensor, batch)
    last = [letter for letter in letters[2] if letter not in letters[0]]
    if len(letters[0]) != 4 or len(last) != 1:
        return None
    return permuted(tensor, letters[1], (letters[0][0], letters[0][1], letters[0][3], last[0]))
