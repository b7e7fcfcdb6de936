"""The modules of a model after its call, for as long as their weights are what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from tracetui.models.module_tree import KnownModel


class UnchangedModules(Mapping[str, nn.Module]):
    """By their paths, while one call is described; none if any of them is gone, or was changed. Keeps none alive.

    To see whether any was costs as much as a few hundred records: it is asked once, and only where it matters.
    """

    def __init__(
        self, known: KnownModel, are_weights_same: Callable[[], bool], matter: Callable[[], bool] = lambda: True
    ) -> None:
        """matter: whether anything of them is to be told; if not, there are none."""
        self._known, self._are_weights_same, self._matter = known, are_weights_same, matter
        self._are_same: bool | None = None

    def __getitem__(self, path: str) -> nn.Module:
        return self._there()[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._there())

    def __len__(self) -> int:
        return len(self._there())

    def _there(self) -> Mapping[str, nn.Module]:
        if not self._matter():
            return {}
        if self._are_same is None:
            self._are_same = self._known.fingerprint.fits and self._are_weights_same()
        return self._known.modules if self._are_same else {}
