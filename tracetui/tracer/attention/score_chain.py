"""What a module makes of the products q·k on their way to its softmax, followed call by call.

A chain is known while every step is one of those that attention is made of: a scale, a softcap, numbers that are
added, a mask that adds or fills. Such steps are repeated on the score 0, in the smallest shape: that is the mask as it
is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

Axes = tuple[str, ...]
"""A letter for each axis."""
Shape4 = tuple[int, int, int, int]
VIEWS = frozenset(
    (
        *("view", "reshape", "contiguous", "clone", "detach", "unsqueeze", "squeeze"),
        *("to", "float", "type", "type_as", "half", "bfloat16", "double"),
    )
)
"""What changes neither numbers nor their order."""
PRODUCTS = frozenset({"matmul", "__matmul__", "bmm", "baddbmm", "einsum"})
_TIMES = frozenset({"mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"})
_OVER = frozenset({"div", "div_", "true_divide", "__div__", "__truediv__", "__idiv__", "__itruediv__"})
_PLUS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
_MINUS = frozenset({"sub", "sub_", "subtract", "__sub__", "__isub__"})
_FILLS = frozenset({"masked_fill", "masked_fill_"})
_FLOORS = frozenset({"max", "maximum", "clamp", "clamp_", "clamp_min"})
_LOW = -(2.0**13)
"""A number that only a mask adds."""


@dataclass(frozen=True, eq=False, slots=True)
class Chain:
    """Scores at some point on the way: scale·(q·k) + bias, within a softcap, and what the mask makes of them."""

    query: torch.Tensor
    """[B,H,T,K]"""
    key: torch.Tensor
    """[B,G,S,K]"""
    shape: Shape4
    """[B,H,T,S]"""
    scale: float = 1.0
    bias: torch.Tensor | None = None
    """[B,H,T,S], any of them perhaps 1."""
    mask: torch.Tensor | None = None
    """What a score of 0 has become since the mask [B,H,T,S], any of them perhaps 1; None before it."""
    softcap: float | None = None
    capped: bool = False
    """Whether a tanh waits to be multiplied."""
    known: bool = True
    sinks: torch.Tensor | None = None
    """Logits [H] that stand beside the scores as one more key without a value."""
    levelled: torch.Tensor | None = None
    """Masked scores before one number of each row was taken off, which the softmax doesn't see."""

    def beside(self, parts: Any, dim: int, tensor: torch.Tensor) -> Chain | None:
        """The chain after sinks were put behind the keys; None where it is something else."""
        if not self.known or self.sinks is not None or self.capped or len(parts) != 2 or parts[0] is not tensor:
            return None
        column = self.in_four(parts[1], tensor.dim()) if dim in (-1, tensor.dim() - 1) else None
        if column is None or column.shape[-1] != 1:
            return None
        sinks = column.expand((*self.shape[:3], 1))  # [B,H,T,1]
        own = sinks[0, :, 0, 0]  # [H]
        return replace(self, sinks=own) if (sinks == own[None, :, None, None]).all() else None

    def after(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], tensor: torch.Tensor) -> Chain:
        """The chain after one more step on `tensor`, which is among its arguments."""
        others = [each for each in args if each is not tensor]
        step = self._step(name, others, args, kwargs, tensor) if self.known else self
        return replace(self, known=False) if step is None else step

    def computed(self) -> torch.Tensor:
        """The scores before the mask [B,H,T,S], from q and k."""
        heads = self.query.shape[1] // self.key.shape[1]
        scores = self.query @ self.key.repeat_interleave(heads, 1).transpose(-1, -2) * self.scale  # [B,H,T,S]
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap  # [B,H,T,S]
        return scores if self.bias is None else scores + self.bias

    def _step(
        self, name: str, others: list[Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], tensor: torch.Tensor
    ) -> Chain | None:
        """None for a step that isn't known."""
        if name in VIEWS:
            return self
        if self.sinks is not None:
            return self._levelled(name, others, tensor)
        if name == "tanh" and (self.mask, self.bias, self.softcap) == (None,) * 3 and not self.capped:
            return replace(self, capped=True)
        if len(others) == 1 and not kwargs and (name in _TIMES or name in _OVER):
            number = _number(others[0])
            return self._shown_only(others[0], tensor) if number is None else self._scaled(number, name in _OVER)
        if self.capped:
            return None
        if len(others) == 1 and not kwargs and (name in _PLUS or name in _MINUS):
            return self._added(others[0], tensor, -1 if name in _MINUS else 1)
        if name in _FILLS and len(others) == 2:
            return self._filled(others[0], others[1], tensor)
        if name == "where" and len(args) == 3 and args[1] is tensor and isinstance(args[0], torch.Tensor):
            return self._filled(~args[0], args[2], tensor)
        if name in _FLOORS and self.mask is not None:
            floor = _number(kwargs.get("min", others[0] if others else None))
            return None if floor is None else replace(self, mask=self.mask.clamp(min=floor))
        return None

    def _levelled(self, name: str, others: list[Any], tensor: torch.Tensor) -> Chain | None:
        """Less one number for each row, as its maximum: the softmax is the same."""
        row = others[0] if name in _MINUS and len(others) == 1 else None
        if not isinstance(row, torch.Tensor) or row.dim() != tensor.dim() or row.shape[-1] != 1:
            return None
        return replace(self, levelled=tensor if self.levelled is None else self.levelled)

    def _shown_only(self, flags: Any, tensor: torch.Tensor) -> Chain | None:
        """Times 1 where a key may be seen, 0 elsewhere."""
        four = self.in_four(flags, tensor.dim()) if isinstance(flags, torch.Tensor) else None
        if four is None or self.capped or not ((four == 0) | (four == 1)).all():
            return None
        return replace(self, mask=torch.zeros_like(four) if self.mask is None else self.mask * four)

    def _scaled(self, number: float, over: bool) -> Chain | None:
        if not number:
            return None
        factor = 1 / number if over else number
        if self.capped:
            return replace(self, capped=False, softcap=factor, scale=self.scale * factor)
        if self.softcap is not None:
            return None
        parts = (None if part is None else part / number if over else part * number for part in (self.bias, self.mask))
        bias, mask = parts
        return replace(self, scale=self.scale * factor, bias=bias, mask=mask)

    def _added(self, other: Any, tensor: torch.Tensor, sign: int) -> Chain | None:
        number = _number(other)
        if number == 0:
            return self
        term = self.in_four(other, tensor.dim()) if isinstance(other, torch.Tensor) else None
        if term is None:
            return None
        term = term if sign == 1 else -term
        if self.mask is None and self.softcap is None and term.shape[1] > 1 and not (term <= _LOW).any():
            return replace(self, bias=term if self.bias is None else self.bias + term)
        return replace(self, mask=term if self.mask is None else self.mask + term)

    def _filled(self, hidden: Any, value: Any, tensor: torch.Tensor) -> Chain | None:
        number = _number(value)
        flags = self.in_four(hidden, tensor.dim()) if isinstance(hidden, torch.Tensor) else None
        if number is None or flags is None:
            return None
        mask = tensor.new_zeros(1, 1, 1, 1) if self.mask is None else self.mask
        return replace(self, mask=torch.where(flags, torch.full_like(mask, number), mask))

    def in_four(self, tensor: torch.Tensor, axes: int) -> torch.Tensor | None:
        """What meets scores of so many axes, as it lies over [B,H,T,S]; None where it doesn't."""
        batch, heads, queries, keys = self.shape
        if tensor.dim() > axes or axes not in (3, 4):
            return None
        sizes = (*(1,) * (axes - tensor.dim()), *tensor.shape)
        if axes == 3:
            sizes = (batch, heads, *sizes[1:]) if sizes[0] == batch * heads else (1, *sizes)
        fits = all(size in (1, whole) for size, whole in zip(sizes, (batch, heads, queries, keys), strict=True))
        return tensor.reshape(sizes) if fits else None


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor):
        return float(value) if value.numel() == 1 else None
    return float(value) if isinstance(value, int | float) else None


def chain_of(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: torch.Tensor, batch: int
) -> Chain | None:
    """The chain that begins with a product; None for one that can't be q·k of [B,H,T,K] and [B,G,S,K].

    batch: how many prompts there are, where prompts and heads stand in one axis.
    """
    if name == "einsum":
        return _of_einsum(args, result)
    operands = args[1:] if name == "baddbmm" else args
    first, second = (*operands, *(kwargs[each] for each in ("batch1", "batch2", "other", "mat2") if each in kwargs))[:2]
    query, key = split(first, batch), split(second, batch)
    whole = split(result, batch)
    if query is None or key is None or whole is None:
        return None
    chain = Chain(query, key.transpose(-1, -2), _four(whole))
    if name != "baddbmm":
        return chain
    beta, alpha = float(kwargs.get("beta", 1)), float(kwargs.get("alpha", 1))
    term = chain.in_four(args[0], result.dim())
    if term is None:
        return None
    return replace(chain, scale=alpha, bias=term * beta if beta and term.any() else None)


def _of_einsum(args: tuple[Any, ...], result: torch.Tensor) -> Chain | None:
    letters = einsum_letters(args)
    if letters is None or len(letters[2]) != 4 or result.dim() != 4:
        return None
    one, other, (batch, heads, queries, keys) = letters
    inner = [letter for letter in one if letter in other and letter not in letters[2]]
    if len(inner) != 1:
        return None
    query = permuted(args[1], one, (batch, heads, queries, inner[0]))
    key = permuted(args[2], other, (batch, heads, keys, inner[0]))
    return None if query is None or key is None else Chain(query, key, _four(result))


def einsum_letters(args: tuple[Any, ...]) -> tuple[Axes, Axes, Axes] | None:
    """The axes of two operands and of their product, a letter each."""
    if len(args) != 3 or not isinstance(args[0], str) or "." in args[0]:
        return None
    inputs, arrow, output = args[0].replace(" ", "").partition("->")
    one, comma, other = inputs.partition(",")
    return (tuple(one), tuple(other), tuple(output)) if arrow and comma and "," not in other else None


def permuted(tensor: torch.Tensor, letters: Axes, wanted: Axes) -> torch.Tensor | None:
    """A tensor with its axes in the order wanted; None where it has others."""
    if sorted(letters) != sorted(wanted):
        return None
    return tensor.permute(*map(letters.index, wanted))


def split(tensor: Any, batch: int) -> torch.Tensor | None:
    """[B,H,…] of a tensor that has prompts and heads in one axis, or in two; None of any other."""
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        return None
    if tensor.dim() == 3 and batch and tensor.shape[0] % batch == 0:
        return tensor.reshape(batch, tensor.shape[0] // batch, *tensor.shape[1:])
    return tensor if tensor.dim() == 4 else None


def _four(tensor: torch.Tensor) -> Shape4:
    batch, heads, queries, keys = tensor.shape
    return batch, heads, queries, keys
