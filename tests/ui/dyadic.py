"""Passes whose recorded numbers come from no matrix product, so that a screen shows the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from tests import tiny_moe
from tests.ui import tiny_llama
from tests.ui.fake import FakeSession
from tests.ui.tiny_llama import Recorder, tokens_of
from tracetui.analysis.attention.call import causal, softmax
from tracetui.recording.record import Record

FAMILY = tiny_moe.Family(layers=3, experts=16, active=4, groups=4, groups_kept=2)
_POSITIVE = ("scores", "weights", "bias")


@dataclass
class EighthsRecorder(Recorder):
    """Records eighths in the place of every number that it is given; what counts something stays."""

    def add(self, site: str, array: npt.NDArray[np.generic], parent: str, part: int = 0) -> Record:
        made = self._heads(parent) if site.endswith(":heads") else _eighths(site, array)
        return super().add(site, made, parent, part)

    def _heads(self, path: str) -> npt.NDArray[np.generic]:
        """What attention makes of what was recorded, rounded so coarsely that the rounding is the same everywhere."""
        q, k, v = (np.asarray(self.trace[f"{path}:{role}"]) for role in "qkv")  # [B,H,T,K] [B,G,S,K] [B,G,S,K]
        k, v = (np.repeat(each, q.shape[1] // each.shape[1], axis=1) for each in (k, v))
        scores = q @ k.swapaxes(-1, -2) * np.float32(q.shape[-1] ** -0.5)  # [B,H,T,S]
        probs = np.stack([[softmax(causal(head)) for head in row] for row in scores])
        rounded: npt.NDArray[np.generic] = (np.rint(probs @ v * 2**18) / 2**18).astype(np.float32)
        return rounded


def _eighths(site: str, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    if array.dtype.kind != "f":
        return array
    rng = np.random.default_rng(crc32(site.encode()))
    numbers = (rng.integers(1, 24, array.shape) if site.endswith(_POSITIVE) else rng.integers(-24, 24, array.shape)) / 8
    return np.where(np.isfinite(array), numbers, array).astype(array.dtype)


def llama(session: FakeSession) -> None:
    """Have a session run the llama so."""
    session.empty = lambda *prompts: _recorder(tiny_llama.empty_recorder(*prompts))


def mixture(session: FakeSession) -> None:
    """Have a session run a mixture of experts so."""
    session.empty = lambda *prompts: _recorder(tiny_moe.empty_recorder(FAMILY, tuple(map(tokens_of, prompts))))
    session.forward = lambda recorder: tiny_moe.forward(recorder, FAMILY)


def _recorder(empty: Recorder) -> Recorder:
    return EighthsRecorder(empty.trace, empty.records, empty.values)
