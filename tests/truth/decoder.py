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
    tiled: bool = False
    alibi: bool = False


@dataclass(frozen=True)
class Experts:
    """How a token's experts are chosen and weighed."""

    count: int
    normalised: bool = True
    scoring: str = "softmax"
    scaling: float = 1.0


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
    gate_up: str = "gate, up"
    """How a fused gate_up_proj is cut: also `up, gate` and `neighbours`."""
    qk_norm: str = ""
    """`before` or `after` the rotation; `whole`: over all heads at once."""
    after_attention: str = ""
    after_mlp: str = ""
    norm2: str = "post_attention_layernorm"
    without: frozenset[str] = frozenset()
    """Norms that are left out."""
    cut: Cut | None = None
    """What else is done to the projections before heads are made of them."""
    merged_as_they_lie: bool = False
    """Whether heads are put side by side without turning heads and tokens."""
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
        unit = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.norm.eps)
        return unit * (self.weights[f"{name}.weight"] + self.norm.plus)

    def projected(self, x: Tensor, name: str) -> Tensor:
        """A matrix product [...,D] with its bias, where there is one."""
        return F.linear(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def window(self, layer: int) -> int | None:
        windows = self.attention.windows
        return windows[layer % len(windows)] if windows else None


def norm(**fields: object) -> Callable[[Decoder], Decoder]:
    """A decoder whose norms have other fields."""
    return lambda decoder: replace(decoder, norm=replace(decoder.norm, **fields))  # type: ignore[arg-type]


def rope(**fields: object) -> Callable[[Decoder], Decoder]:
    return lambda decoder: replace(decoder, rope=replace(decoder.rope, **fields))  # type: ignore[arg-type]


def attention(**fields: object) -> Callable[[Decoder], Decoder]:
    return lambda decoder: replace(decoder, attention=replace(decoder.attention, **fields))  # type: ignore[arg-type]


def but(**fields: object) -> Callable[[Decoder], Decoder]:
    return lambda decoder: replace(decoder, **fields)  # type: ignore[arg-type]
