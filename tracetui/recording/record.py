"""What one run recorded, tensor by tensor, without the tensors' values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from tracetui.recording.parallel import WHOLE, Place
from tracetui.text import visible

ABSORBED = "absorbed"
"""The kernel of latent attention that is computed from its latent."""
BEFORE_EDIT = "before_edit"
"""The role, behind a site's own, of what was there before an edit: `model.layers.3.mlp:before_edit`."""
ATTN_RESIDUAL = "attn_residual"
"""The role of a layer's stream after attention."""
UNRECORDED = -1
"""Among a record's inputs, one that no record holds."""
CALLERS = -2
"""Among them, one that the caller gave to the whole model."""
INPUT = "input"
"""The role, behind a module's path, of what it was given: `model.layers.3.mlp.down_proj:input`."""
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks)\.(\d+)(?=[.:]|$)")


@dataclass(frozen=True, slots=True)
class Record:
    """One tensor seen at one site in one call."""

    index: int
    """Step number: the place in the order of completion, from 0."""
    site: str
    """Module path, or `module:role` for what a module computes inside."""
    shape: tuple[int, ...]
    dtype: str
    depth: int
    """How many modules were running around the one that returned this; roles count as children of theirs."""
    parent: str = ""
    """Path of the module inside which this was completed; empty at the top."""
    pass_: int = 0
    call: int = 0
    """Which call of this module within the pass."""
    part: int = 0
    """Which tensor of a returned tuple."""
    seconds: float | None = None
    """The module's forward with its children, without waiting at stops and making weights; None for roles."""
    provenance: str = ""
    """Where the module's own weights came from: `random`, `file`, `file+random`; empty if it has none."""
    edited: bool = False
    """Whether an edit made these values; the module's own stand before it under the role `before_edit`."""
    inputs: tuple[int, ...] = ()
    """Of a module's output: the records, by number, that hold the floating-point tensors that it was given, in the
    order of its arguments, UNRECORDED or CALLERS for one that none holds. Empty where nobody told."""
    place: Place = WHOLE
    """Of a run on several ranks: which part of the whole tensor this one is."""

    def __repr__(self) -> str:
        return f"<Record {self.index} {visible(self.key)} {list(self.shape)} {visible(self.dtype, 40)}>"

    @property
    def key(self) -> str:
        """The name under which a trace file stores the values."""
        part = f"#{self.part}" if self.part else ""
        return f"{self.site}{part}{when(self.pass_, self.call)}"

    @property
    def ending(self) -> str:
        """`#part@pass.call`: what its key has behind the site."""
        return self.key.removeprefix(self.site)

    @property
    def module(self) -> str:
        """The path of the module this belongs to: the site without its role."""
        return self.site.partition(":")[0]

    @property
    def role(self) -> str:
        """`q` of `…self_attn:q`; empty for a module's output."""
        return self.site.partition(":")[2]

    @property
    def layer(self) -> int | None:
        """The index of the decoder layer this lies in, as the checkpoint counts; None outside of all."""
        return layer_of(self.site)

    @property
    def site_in_layer(self) -> str:
        """The site within its layer: `.self_attn.q_proj` of `model.layers.3.self_attn.q_proj`; else the site."""
        layer = _LAYER.search(self.site)
        return self.site[layer.end() :] if layer else self.site

    @property
    def numel(self) -> int:
        size = 1
        for length in self.shape:
            size *= length
        return size


class _RecordFields:
    """A record that may be written to, until it is made. One that is frozen from the start takes four times as long."""

    __slots__ = Record.__slots__

    def __init__(
        self,
        index: int,
        site: str,
        shape: tuple[int, ...],
        dtype: str,
        depth: int,
        parent: str,
        pass_: int,
        call: int,
        part: int,
        seconds: float | None,
        provenance: str,
        edited: bool,
        inputs: tuple[int, ...],
        place: Place = WHOLE,
    ) -> None:
        self.index = index
        self.site = site
        self.shape = shape
        self.dtype = dtype
        self.depth = depth
        self.parent = parent
        self.pass_ = pass_
        self.call = call
        self.part = part
        self.seconds = seconds
        self.provenance = provenance
        self.edited = edited
        self.inputs = inputs
        self.place = place
        self.__class__ = Record  # type: ignore[assignment]


record_of = cast("type[Record]", _RecordFields)
"""`Record(…)`, where many are made."""


def when(pass_: int, call: int = 0) -> str:
    """The end of a key that says in which pass and call a site was recorded; empty for the first call of pass 0."""
    if call:
        return f"@{pass_}.{call}"
    return f"@{pass_}" if pass_ else ""


def plain_site(site: str) -> str:
    """A site without part, pass and call."""
    return site.partition("@")[0].partition("#")[0]


def layer_of(site: str) -> int | None:
    """The decoder layer's index in a site or module path, or None."""
    layer = _LAYER.search(site)
    return int(layer[1]) if layer else None


def is_layer(site: str) -> bool:
    """Whether the site is a decoder layer's own output, so the residual stream after it."""
    layer = _LAYER.search(site)
    return layer is not None and layer.end() == len(site)


def layer_path(site: str) -> str:
    """The path of the decoder layer in which a site lies; empty outside of all."""
    layer = _LAYER.search(site)
    return site[: layer.end()] if layer else ""


def layer_before(site: str) -> str:
    """The same place in the layer before; empty outside of all layers, and in the first."""
    layer = _LAYER.search(site)
    if layer is None or not int(layer[1]):
        return ""
    return f"{site[: layer.start(1)]}{int(layer[1]) - 1}{site[layer.end(1) :]}"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the prompt."""

    id: int
    bytes: bytes
    """Exactly what it stands for; may be part of a character. Empty when no tokenizer was used."""
    special: bool = False


@dataclass(frozen=True, slots=True)
class BadWeight:
    """A parameter that holds NaN or infinities."""

    name: str
    """Its whole name: `model.layers.7.mlp.up_proj.weight`."""
    count: int
    """How many elements aren't finite."""
    numel: int
    first: tuple[int, ...]
    """The index of the first of them."""


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """How one attention kernel was called: what is needed to compute its scores again."""

    scale: float
    is_causal: bool
    """Causal without a mask tensor: query t sees the keys 0 to t, however many there are; a mask alone decides."""
    kernel: str
    """`sdpa` or `eager`: what ran; `absorbed`: latent attention computed from its latent."""
    softcap: float | None = None
    sliding_window: int | None = None
    heads: int = 0
    kv_heads: int = 0
    sinks: bool = False
    """Whether logits were given that take their share of the softmax and have no value: `…:sinks`."""
    position_bias: bool = False
    """Whether numbers were given that are added to the scaled scores: `…:position_bias`."""
    unexplained: str = ""
    """Why scores computed from what was recorded would not be the model's; empty where they are."""
