"""How much rounding each token brings along: what its residual was before is what it is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tracetui.analysis.axes import axes_of
from tracetui.analysis.diff.alignment.align import Pair
from tracetui.analysis.diff.distances.rows import SHARE, Floats, RowPast, row_scales
from tracetui.recording.record import Record, is_layer, plain_site

_TOKENS = ("T", "S")


@dataclass(slots=True)
class _Tokens:
    """Of one pass, each [B,T]."""

    longest: Floats
    """The largest norm of each token's residual so far."""
    gain: Floats
    """By how much its rounding is larger than its own norm lets expect."""
    brought: Floats
    """The same, with what attention brought along from the tokens before."""
    layer: int | None = None
    """The layer whose attention was the last."""

    def at(self, layer: int | None) -> Floats:
        """What is known at a site of a layer, or after all."""
        return np.maximum(self.gain, self.brought) if layer in (None, self.layer) else self._mixed()

    def enter(self, layer: int | None) -> None:
        """Go on to a layer."""
        if layer not in (None, self.layer):
            self.layer, self.brought = layer, self._mixed()

    def _mixed(self) -> Floats:
        """As if attention looked at all tokens alike."""
        counts = np.arange(1, self.gain.shape[1] + 1)
        mixed: Floats = np.sqrt(np.square(self.gain).cumsum(axis=1) / counts)
        return np.maximum(np.maximum(self.gain, self.brought), mixed)


class TokenRounding:
    """What the residual stream tells of the rows that are computed from it, site by site in order of execution.

    A token whose residual was 22,500 and is 130 again has the rounding of 22,500; and a norm layer makes a token that
    is all but zero as long as any other, with its rounding.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        self._config = config
        self._tokens: dict[tuple[int, int], _Tokens] = {}

    def past(self, pair: Pair, shape: tuple[int, ...]) -> RowPast | None:
        """What is known of the rows of a site that is compared in this shape."""
        if not self._tokens:
            return None
        record = pair.record
        places = _token_of_rows(record, self._config, shape)
        if places is None:
            return None
        tokens = self._tokens.get((record.pass_, int(places.max(initial=-1)) + 1))
        if tokens is None:
            return None
        gain = tokens.at(record.layer).reshape(-1)[places]
        longest = tokens.longest.reshape(-1)[places] if _in_stream(record) else np.zeros(places.size)
        return RowPast(SHARE * longest, gain)

    def see(self, pair: Pair, shape: tuple[int, ...], norms: Floats) -> None:
        """Take in the norms of B's rows; only the residual stream's count."""
        record = pair.record
        if not _in_stream(record) or len(shape) not in (2, 3) or norms.size != np.prod(shape[:-1]):
            return
        norms = np.where(np.isfinite(norms), norms, 0.0).reshape((1, *shape[:-1])[-2:])  # [B,T]
        ones = np.ones_like(norms)
        known = self._tokens.setdefault((record.pass_, norms.size), _Tokens(norms, ones, ones))
        if known.longest.shape != norms.shape:
            return
        known.enter(record.layer)
        scales = row_scales(norms.reshape(-1)).scales.reshape(norms.shape)
        scales = np.maximum(scales, SHARE * known.longest)
        gain = np.divide(scales, norms, out=np.ones_like(norms), where=norms > 0)
        known.longest, known.gain = np.maximum(known.longest, norms), np.maximum(known.gain, gain)


def _in_stream(record: Record) -> bool:
    """Whether it is the residual stream: what goes into a layer, what is in it, what comes out."""
    return not record.part and _is_of_stream(record.site)


@lru_cache(maxsize=1 << 12)
def _is_of_stream(site: str) -> bool:
    plain, role = plain_site(site), site.partition(":")[2]
    # What goes into a module within a layer has the role of a layer's input, and may be as small as it likes.
    return role == "attn_residual" or plain == "model.embed_tokens" or (is_layer(plain) and role in ("", "input"))


def _token_of_rows(record: Record, config: Mapping[str, object], shape: tuple[int, ...]) -> npt.NDArray[np.intp] | None:
    """The token of each row [rows], counted through all prompts; None where rows aren't those of tokens."""
    return _token_of_axes(tuple(axis.name for axis in axes_of(record, config)), shape)


@lru_cache(maxsize=8)
def _token_of_axes(names: tuple[str, ...], shape: tuple[int, ...]) -> npt.NDArray[np.intp] | None:
    """The same for axes by their names; most sites of a trace have the same ones."""
    if len(names) != len(shape) or len(shape) < 2:
        return None
    if names[:-1] == ("N",):
        return np.arange(shape[0])
    counting = [axis for axis, name in enumerate(names[:-1]) if name in _TOKENS]
    if names[0] != "B" or len(counting) != 1:
        return None
    (axis,) = counting
    batch = np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 2))
    token = np.arange(shape[axis]).reshape([-1 if place == axis else 1 for place in range(len(shape) - 1)])
    places: npt.NDArray[np.intp] = np.broadcast_to(batch * shape[axis] + token, shape[:-1]).reshape(-1)
    return places
