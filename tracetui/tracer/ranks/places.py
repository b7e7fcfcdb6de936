"""Which part of the whole tensor a record holds, where several ranks run one model.

A module whose own weight is cut says how wide the whole is that it is given and returns; a DTensor says all itself.
What comes between the two is told by what it was made of: the same numbers in another form, or as many of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from weakref import ReferenceType, ref

import torch
from torch import nn

from tracetui.models.module_tree import KnownModel
from tracetui.models.ranks.cuts import ExpertCuts, ModuleCuts, expert_cuts, module_cuts, place_of
from tracetui.models.ranks.local import local_tensor
from tracetui.recording.parallel import WHOLE, Place, Shard
from tracetui.recording.record import BEFORE_EDIT, INPUT, Record

_BY_HEADS = frozenset(
    ["q", "k", "v", "heads", "scores", "masked", "probs", "mask", "position_bias", "q_absorbed", "absorbed_scores"]
)
"""Roles whose second dimension is that of heads."""
_BROADCAST = frozenset(["mask", "position_bias"])
"""Of these, roles where 1 stands for every head."""
_SINKS = "sinks"
_HEADS = 1
_REMEMBERED = 16
"""How many parts of one module are: those of the outermost come again in every pass."""


class ModelCuts:
    """How the weights of a model are cut, as long as it stays as it is built."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.modules: Mapping[str, ModuleCuts] = module_cuts(modules)
        self.experts: Mapping[str, ExpertCuts] = expert_cuts(modules)


class Places:
    """Of the records of one run, in order. Used by the model's thread alone."""

    def __init__(self, known: KnownModel) -> None:
        self.cuts = known.once(ModelCuts)
        self._spread: dict[int, tuple[ReferenceType[torch.Tensor], Place]] = {}
        """By identity, what lies here of a DTensor."""
        self._open: dict[str, list[Shard]] = {}
        """By the path of a module that runs: how the last dimension of what its parts returned is cut, newest last."""
        self._ended: tuple[str, list[Shard]] = ("", [])
        """Of the module that ended last."""
        self._last: dict[str, tuple[tuple[int, ...], Place]] = {}
        """By such a path: the shape and the place of what its last part returned."""

    def local(self, tensor: torch.Tensor) -> torch.Tensor:
        """The plain tensor behind one, whose place is known from now on."""
        here = local_tensor(tensor)
        if here is not tensor and hasattr(tensor, "placements"):
            self._spread[id(here)] = (ref(here), place_of(tensor))
        return here

    def stands_for(self, snapshot: torch.Tensor, tensor: torch.Tensor) -> None:
        """A snapshot was taken of a tensor."""
        if (place := self._said(tensor)) is not None:
            self._spread[id(snapshot)] = (ref(snapshot), place)

    def of(
        self,
        site: str,
        shape: tuple[int, ...],
        tensor: torch.Tensor | None,
        parent: str,
        part: int,
        made_of: list[Record],
    ) -> Place:
        """The place of a tensor that is about to be recorded.

        made_of: the records that hold it already, or what it was made of.
        """
        place = self.expected(site, shape, tensor, parent, part, made_of)
        path, _, role = site.partition(":")
        # What edits changed follows what was there before.
        if not role and not part:
            self._returned(path, parent, shape, place)
        return place

    def expected(
        self,
        site: str,
        shape: tuple[int, ...],
        tensor: torch.Tensor | None,
        parent: str,
        part: int,
        made_of: list[Record],
    ) -> Place:
        """The same of a tensor that need not be recorded."""
        path, _, role = site.removesuffix(f":{BEFORE_EDIT}").partition(":")
        place = None if tensor is None else self._said(tensor)
        return self._place(path, role, shape, parent, part, made_of) if place is None else place

    def _said(self, tensor: torch.Tensor) -> Place | None:
        """What a DTensor said of its place."""
        known = self._spread.get(id(tensor)) if self._spread else None
        return known[1] if known is not None and known[0]() is tensor else None

    def _place(
        self, path: str, role: str, shape: tuple[int, ...], parent: str, part: int, made_of: list[Record]
    ) -> Place:
        if not shape:
            return WHOLE
        if role == INPUT:
            return self._given(path, shape, made_of)
        if role in _BROADCAST and len(shape) > _HEADS and shape[_HEADS] == 1:
            return WHOLE
        if role in _BY_HEADS or role == _SINKS:
            return self._of_heads(path, shape, 0 if role == _SINKS else _HEADS)
        if role:
            return WHOLE
        holder, _, expert = path.rpartition(".")
        if expert.isdigit() and holder in self.cuts.experts:
            axis = self.cuts.experts[holder].partial
            return Place(partial=(axis,)) if axis else WHOLE
        cuts = self.cuts.modules.get(path)
        if cuts is not None:
            return _last_dimension(shape, cuts.returned)
        return self._made(path, shape, part, made_of)

    def _given(self, path: str, shape: tuple[int, ...], made_of: list[Record]) -> Place:
        """Of what a module is given and no record holds: what its weight says, or what came before beside it."""
        cuts = self.cuts.modules.get(path)
        if cuts is not None and cuts.given is not None:
            return _last_dimension(shape, cuts.given)
        for shard in reversed(self._open.get(path.rpartition(".")[0], ())):
            if (place := _split(shape, shard)) is not None:
                return place
        return WHOLE

    def _of_heads(self, path: str, shape: tuple[int, ...], dimension: int) -> Place:
        """Of what has a dimension of heads, in a module: as many parts of the whole as its projections returned."""
        if dimension >= len(shape):
            return WHOLE
        heads, shards = shape[dimension], self._parts_of(path)
        exact = [shard for shard in shards if shard.length == heads * shape[-1]]
        for shard in (*exact, *reversed(shards)):
            if (cut := _of_units(shard, heads, dimension)) is not None:
                return Place((cut,))
        return WHOLE

    def _made(self, path: str, shape: tuple[int, ...], part: int, made_of: list[Record]) -> Place:
        """Of what a module without a cut weight of its own returned."""
        for record in made_of:
            if record.shape == shape and record.place.shards:
                return record.place
        last = self._last.get(path)
        if part == 0 and last is not None and last[0] == shape and last[1].shards:
            return last[1]
        if part and len(shape) == 4:
            # Attention weights beside what attention returned.
            return self._of_heads(path, shape, _HEADS)
        return WHOLE

    def _parts_of(self, path: str) -> list[Shard]:
        """How what the parts of a module returned is cut, while it runs or has just ended."""
        return self._ended[1] if self._ended[0] == path else self._open.get(path, [])

    def _returned(self, path: str, parent: str, shape: tuple[int, ...], place: Place) -> None:
        """A module has returned: what is known of its parts is no longer needed, and its parent knows of it."""
        self._ended = (path, self._open.pop(path, []))
        self._last.pop(path, None)
        self._last[parent] = (shape, place)
        cut = next((shard for shard in place.shards if shard.dimension == len(shape) - 1), None)
        if cut is not None:
            self._open[parent] = [*self._open.get(parent, ())[-_REMEMBERED:], cut]


def _last_dimension(shape: tuple[int, ...], cut: Shard | None) -> Place:
    """The place of what has as many columns as are here of a cut dimension; of what has all of them it is the whole."""
    if cut is None or shape[-1] == cut.size or shape[-1] != cut.length:
        return WHOLE
    return Place((replace(cut, dimension=len(shape) - 1),))


def _split(shape: tuple[int, ...], shard: Shard) -> Place | None:
    """The place of columns that were split into heads [B,T,H,K], or are as they were; None where they are others."""
    dimension = 2 if len(shape) == 4 else len(shape) - 1
    cut = _of_units(shard, shape[dimension], dimension) if prod(shape[dimension:]) == shard.length else None
    return None if cut is None else Place((cut,))


def _of_units(shard: Shard, count: int, dimension: int) -> Shard | None:
    """A cut of columns as one of `count` units of equally many of them; None where it runs through a unit."""
    if not count or shard.length % count:
        return None
    each = shard.length // count
    if shard.size % each or any(edge % each for edges in shard.ranges for edge in edges):
        return None
    ranges = tuple((first // each, end // each) for first, end in shard.ranges)
    return Shard(dimension, shard.of, shard.at, shard.size // each, ranges)
