"""A decoder of one's own: plain functions over a state dict, and what families do in different ways as fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

Act = Callable[[Tensor], Tensor]
Cut = Callable[["Decoder", Tensor, Tensor, Tensor], tuple[Tensor, ...]]
Keep = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class Norm:
    """What is done to the weight and the values of every norm."""

    eps: float = 1e-6
    plus: float = 0.0
    """Added to the weight."""
    centred: bool = False
    """Whether the mean is taken off, as LayerNorm does."""
    eps_outside: bool = False
    """Whether the epsilon is added to the root, not under it."""
    squared: bool = False
    """Whether values are divided by their mean square, not by its root."""


@dataclass(frozen=True)
class Rope:
    """How queries and keys are turned."""

    theta: float = 10_000.0
    share: float = 1.0
    """Of a head's values."""
    pairs: bool = False
    """Neighbours are turned together, not the halves."""
    factor: float = 1.0
    """Positions are divided by it."""
    llama3: tuple[float, float, float, int] | None = None
    """Factor, lowest and highest frequency factor, original length."""
    length: float = 1.0
    """Cosines and sines are multiplied by it."""
    offset: int = 0
    key_offset: int = 0
    """More for the keys alone."""
    key_theta: float | None = None
    local_theta: float | None = None
    """In layers that have a window."""
    reversed: bool = False
    """Whether positions count from the end."""
    last: bool = False
    """Whether the last values of a head are turned, not the first."""
    pairs_to_halves: bool = False
    """Whether pairs that were turned are put into halves."""
    turned: str = "qk"
    sign: int = 1
    whole_exponent: bool = False
    """Frequencies by the size of the head, not of the part that is turned."""


@dataclass(frozen=True)
class Attention:
    """How heads are made of queries, keys and values."""

    scale: float
    softcap: float | None = None
    windows: tuple[int | None, ...] = ()
    """Of each layer; none at all where empty."""
    ahead: int | None = 0
    """Keys a query sees beyond its own; None: all of them."""
    caps: int = 1
    """How many times scores are capped."""
    base: float | None = None
    """Of the softmax, e where it is None."""
    over_queries: bool = False
    """Whether the softmax is taken along the queries."""
    dtype: str = ""
    """In which the softmax is computed, where another."""
    hidden_as_zero: bool = False
    """Whether a hidden score is 0, not minus infinity."""
    after_softmax: bool = False
    """Whether the mask is applied to the probabilities, which don't sum to 1 then."""
    tiled: bool = False
    alibi: bool = False


@dataclass(frozen=True)
class Cached:
    """What later passes take of the keys and values of earlier ones, and where they believe to be."""

    keeps: bool = True
    """Whether what came before is taken at all."""
    over_last: bool = False
    """Whether new keys are written over the last one."""
    of_layer_before: bool = False
    restarts: bool = False
    """Whether positions begin from 0 in each pass."""


@dataclass(frozen=True)
class Experts:
    """How a token's experts are chosen and weighed."""

    count: int
    normalised: bool = True
    scoring: str = "softmax"
    """Or `sigmoid`, or `chosen`: softmax over the logits of those that were chosen."""
    scaling: float = 1.0
    bias: bool = True
    """Whether the choice is made with the selection bias, where the model has one."""
    biased_weights: bool = False
    groups: int = 1
    groups_used: int = 1
    best_of_group: int = 2
    """How many experts' scores make a group's."""
    shared: str = ""
    """The expert that sees all tokens."""
    shared_first: bool = False
    """Whether it runs before the others."""
    shared_gated: bool = True
    """Whether that one is multiplied by its gate, where the model has one."""
    worst: bool = False
    """Whether the experts with the lowest scores are chosen."""
    same_weights: bool = False
    rotated: int = 0
    """By how many places the experts' own numbers are off."""


@dataclass(frozen=True)
class Latent:
    """How queries, keys and values are made of latents."""

    rank: int
    nope: int
    rope: int
    value: int
    normed: bool = True
    query_normed: bool = True
    rope_first: bool = False
    """Whether the part to be turned is taken from the start of a head of q."""
    value_first: bool = False
    """Whether values are taken from the start of what makes them and the keys."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """A decoder; a mistake is one with other fields."""

    weights: Mapping[str, Tensor]
    layers: int
    heads: int
    groups: int
    size: int
    """Of a head."""
    attention: Attention
    norm: Norm = field(default_factory=Norm)
    rope: Rope = field(default_factory=Rope)
    experts: Experts | None = None
    cached: Cached = field(default_factory=Cached)
    latent: Latent | None = None
    names: tuple[tuple[str, str], ...] = ()
    """What the family calls a part of a path, beside what it is called here."""
    embed_scale: float = 1.0
    scale_recorded: bool = True
    """Whether what is kept as the embedding is scaled already."""
    residual: float = 1.0
    mlp_residual: float | None = None
    """Another for the second sublayer."""
    logit_scale: float = 1.0
    logit_softcap: float | None = None
    act: Act = F.silu
    act_on_up: bool = False
    up_added: bool = False
    """Whether gate and up are added, not multiplied."""
    gate_up: str = "gate, up"
    """How a fused gate_up_proj is cut: also `up, gate` and `neighbours`."""
    qk_norm: str = ""
    """`before` or `after` the rotation; `whole`: over all heads at once."""
    after_attention: str = ""
    after_mlp: str = ""
    norm2: str = "post_attention_layernorm"
    without: frozenset[str] = frozenset()
    """Norms that are left out."""
    local_windows: tuple[int | None, ...] = ()
    """Windows as the rotation takes them: layers that have one turn by another base."""
    fused: str = "kind"
    """How rows of a fused projection lie: all of q first, or the `heads` one by one."""
    order: tuple[int, ...] = ()
    """The layers in the order in which they run, where another."""
    cut: Cut | None = None
    """What else is done to the projections before heads are made of them."""
    merged_as_they_lie: bool = False
    """Whether heads are put side by side without turning heads and tokens."""
    norms_of_sums: bool = False
    """Whether the norm after a sublayer is taken of the sum with the stream."""
    residual_of_norm: bool = False
    """Whether the residual is taken after the norm."""
    parallel: bool = False
    head: str = ""
    """The matrix of the logits."""

    def normed(self, x: Tensor, name: str) -> Tensor:
        """The norm of a name over the last axis [...,D]."""
        if name.rpartition(".")[2] in self.without:
            return x
        x = x - x.mean(-1, keepdim=True) if self.norm.centred else x
        return self.unit(x, -1) * (self.weights[f"{name}.weight"] + self.norm.plus) + self.weights.get(
            f"{name}.bias", 0.0
        )

    def unit(self, x: Tensor, axes: int | tuple[int, ...]) -> Tensor:
        """Values whose mean square over some axes is 1."""
        square = x.square().mean(axes, keepdim=True)
        if self.norm.squared:
            return x / (square + self.norm.eps)
        return x / (square.sqrt() + self.norm.eps) if self.norm.eps_outside else x * torch.rsqrt(square + self.norm.eps)

    def name(self, site: str) -> str:
        """What the family calls a site."""
        for own, theirs in self.names:
            site = site.replace(own, theirs)
        return site

    def own_name(self, site: str) -> str:
        """What such a site is called here."""
        for own, theirs in self.names:
            site = site.replace(theirs, own)
        return site

    def projected(self, x: Tensor, name: str) -> Tensor:
        """A matrix product [...,D] with its bias, where there is one."""
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def window(self, layer: int) -> int | None:
        """How many keys back a layer's queries see, themselves included; None for all."""
        windows = self.attention.windows
        return windows[layer % len(windows)] if windows else None

    def local_window(self, layer: int) -> int | None:
        """The same as it decides how a layer turns."""
        return self.local_windows[layer % len(self.local_windows)] if self.local_windows else None


def norm(**fields: object) -> Callable[[Decoder], Decoder]:
    """A decoder whose norms have other fields."""
    return lambda decoder: replace(decoder, norm=replace(decoder.norm, **fields))  # type: ignore[arg-type]


def rope(**fields: object) -> Callable[[Decoder], Decoder]:
    return lambda decoder: replace(decoder, rope=replace(decoder.rope, **fields))  # type: ignore[arg-type]


def attention(**fields: object) -> Callable[[Decoder], Decoder]:
    return lambda decoder: replace(decoder, attention=replace(decoder.attention, **fields))  # type: ignore[arg-type]


def but(**fields: object) -> Callable[[Decoder], Decoder]:
    return lambda decoder: replace(decoder, **fields)  # type: ignore[arg-type]
