"""A mistake of a port, and the ways to change a decoder's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tests.truth.decoder import Decoder
from tests.truth.dumps import KINDS

Change = Callable[[Decoder], Decoder]
ALL = KINDS
MODULES = ("hooks", "qkv", "full")
INSIDE = ("qkv", "full")
Q, K, HEADS = ".self_attn:q", ".self_attn:k", ".self_attn:heads"
FIRST_NORM, OUTPUT = ".input_layernorm", ".self_attn.o_proj"


@dataclass(frozen=True)
class Fault:
    """One mistake."""

    name: str
    families: str
    """Those that can make it, with blanks between."""
    change: Change
    place: str
    """The site whose values are the first to be wrong though all that it is made of is right: `.self_attn:q` of layer 0
    (or of `layer`), or a whole name."""
    hints: str
    """Names of the hints that are true of it, with blanks between."""
    words: tuple[str, ...]
    """Patterns that the hints must hold."""
    named_in: tuple[str, ...] = MODULES
    """Kinds of dumps that tell it; in the others the place alone is enough."""
    topic: str = ""
    """Pattern that a hint must hold which lists what is possible."""
    layer: int = 0
    prompt: int = 0
    """Tokens of the first of several passes with a cache; 0 where all are in one."""

    @property
    def site(self) -> str:
        """The place's whole name."""
        return f"model.layers.{self.layer}{self.place}" if self.place[:1] in (".", ":", "") else self.place


def weights(change: Callable[[dict[str, Tensor], str], None], only: int | None = None) -> Change:
    """A decoder whose weights are changed, layer by layer; the paths end in a dot."""

    def changed(decoder: Decoder) -> Decoder:
        copied = {name: value.clone() for name, value in decoder.weights.items()}
        for layer in range(decoder.layers) if only is None else (only,):
            change(copied, f"model.layers.{layer}.")
        return replace(decoder, weights=copied)

    return changed


def one_weight(name: str, change: Callable[[Tensor], Tensor], only: int | None = None) -> Change:
    """The same of one tensor of each layer."""
    return weights(lambda w, path: w.update({path + name: change(w[path + name])}), only)


def transposed(name: str) -> Change:
    return one_weight(name, lambda weight: weight.t().contiguous())


def scaled(name: str, factor: float, only: int | None = None) -> Change:
    return one_weight(name, lambda weight: weight * factor, only)


def damaged(name: str, only: int) -> Change:
    """A weight with noise on it."""
    generator = torch.Generator().manual_seed(5)
    return one_weight(name, lambda weight: weight + 0.05 * torch.randn(weight.shape, generator=generator), only)


def swapped(one: str, other: str) -> Change:
    """Two modules' weights, and their biases."""

    def change(w: dict[str, Tensor], path: str) -> None:
        for kind in (".weight", ".bias"):
            if path + one + kind in w:
                w[path + one + kind], w[path + other + kind] = w[path + other + kind], w[path + one + kind]

    return weights(change)


def left_out(*names: str) -> Change:
    def change(w: dict[str, Tensor], path: str) -> None:
        for name in names:
            w.pop(path + name, None)

    return weights(change)


def latent(**fields: object) -> Change:
    """A decoder that makes queries, keys and values of latents otherwise."""

    def changed(decoder: Decoder) -> Decoder:
        assert decoder.latent is not None
        return replace(decoder, latent=replace(decoder.latent, **fields))  # type: ignore[arg-type]

    return changed


def experts(**fields: object) -> Change:
    """A decoder whose experts are chosen or weighed otherwise."""

    def changed(decoder: Decoder) -> Decoder:
        assert decoder.experts is not None
        return replace(decoder, experts=replace(decoder.experts, **fields))  # type: ignore[arg-type]

    return changed
