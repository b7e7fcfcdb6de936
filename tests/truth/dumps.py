"""What a script would have kept of a decoder's pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from tracetui.recording.value import Array

KINDS = ("layers", "hooks", "qkv", "full")
"""The stream alone; what modules return; q, k and v after RoPE too; the heads too."""
_ROLES = {"qkv": (":q", ":k", ":v"), "full": (":q", ":k", ":v", ":heads")}


@dataclass(frozen=True, eq=False)
class Kept:
    """A dump of one kind, in order of execution."""

    kind: str
    name: Callable[[str], str]
    """What the family calls a site."""
    arrays: dict[str, Array] = field(default_factory=dict)

    def keep(self, site: str, value: Tensor) -> None:
        """Keep a value, if this kind of dump has it."""
        inside = site.removeprefix("model.layers.")
        role = site[site.index(":") :] if ":" in site else ""
        stream = inside.isdecimal() or not site.startswith("model.layers.")
        if role in _ROLES.get(self.kind, ()) or (not role and (stream or self.kind != "layers")):
            self.arrays[self.name(site)] = value.detach().numpy().copy()

    def renumbered(self, layer: int, place: int) -> Kept:
        """The same, for a layer that runs at another place: a script numbers layers as they run."""
        if layer == place:
            return self
        own, other = f"model.layers.{layer}", f"model.layers.{place}"
        return replace(self, name=lambda site: self.name(other + site.removeprefix(own)))
