"""The modules of a model after its call, for as long as their weights are what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from tracetui.models.module_tree import KnownModel


class UnchangedModules(Mapping[str, nn.Module]):
    """By their paths; none once any of them is gone, or was changed. Keeps none alive."""

    def __init__(self, known: KnownModel, are_weights_same: Callable[[], bool]) -> None:
        self._known, self._are_weights_same = known, are_weights_same

    def __getitem__(self, path: str) -> nn.Module:
        return self._there()[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._there())

    def __len__(self) -> int:
        return len(self._there())

    def _there(self) -> Mapping[str, nn.Module]:
        return self._known.modules if self._known.fingerprint.fits and self._are_weights_same() else {}
