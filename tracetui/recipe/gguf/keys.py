"""The metadata of one architecture, as `llama.block_count`, by what stands behind its name; and which were read."""

from __future__ import annotations

from collections.abc import Collection
from typing import NoReturn

import numpy as np

from tracetui.formats.gguf.files import GgufFiles
from tracetui.formats.gguf.metadata import Array


class Keys:
    """Values by the last part of their key; every complaint names file and key."""

    def __init__(self, files: GgufFiles, by_layer: Collection[str] = ()) -> None:
        """by_layer: keys that may differ from layer to layer; of such a one `integer` is the largest."""
        self.files = files
        self._by_layer = by_layer
        self.architecture = files.architecture
        self._metadata = files.metadata
        self._asked: set[str] = set()

    def has_tensor(self, name: str) -> bool:
        return name in self.files.tensors

    def integer(self, name: str) -> int | None:
        """None where the file doesn't say; one number for all layers, though it stand there for each of them."""
        value = self._metadata.get(key := self._key(name))
        if isinstance(value, np.ndarray):
            numbers = np.unique(value)
            if not len(numbers) or numbers.dtype.kind not in "iu":
                self.fail(name, "must be a whole number, or one for each layer")
            self._check_length(name, value)
            if len(numbers) > 1 and name not in self._by_layer:
                self.fail(name, "differs from layer to layer, and tracetui builds layers that are alike")
            return int(numbers[-1])
        return self._metadata.integer(key)

    def integers(self, name: str, layers: int) -> list[int]:
        """For each layer its number, where the file has one for all or one for each. Raises InputError for others."""
        value = self._metadata.get(self._key(name))
        if not isinstance(value, np.ndarray):
            return [self.needed_integer(name)] * layers
        if value.dtype.kind not in "iu":
            self.fail(name, f"must have a whole number for each of {layers} layers")
        self._check_length(name, value)
        return [int(number) for number in value[:layers].tolist()]

    def _check_length(self, name: str, numbers: Array) -> None:
        """Raises InputError where the file has fewer numbers than layers: those of the last ones nobody knows."""
        layers = self._metadata.integer(f"{self.architecture}.block_count") or 0
        if len(numbers) < layers:
            self.fail(name, f"must have a number for each of {layers} layers, and has {len(numbers)}")

    def needed_integer(self, name: str) -> int:
        """Raises InputError where the file doesn't say."""
        value = self.integer(name)
        return self.fail(name, "is missing, a whole number is needed") if value is None else value

    def number(self, name: str) -> float | None:
        return self._metadata.number(self._key(name))

    def positive(self, name: str) -> float | None:
        """A number that something is divided by or raised: none that a file has is 0. Raises InputError for one."""
        value = self.number(name)
        return value if value is None or value > 0 else self.fail(name, "must be above 0")

    def flag(self, name: str) -> bool | None:
        return self._metadata.flag(self._key(name))

    def text(self, name: str) -> str | None:
        return self._metadata.text(self._key(name))

    def numbers(self, name: str) -> Array | None:
        return self._metadata.numbers(self._key(name))

    def pattern(self, name: str, period: int, layers: int) -> list[bool]:
        """For each layer whether it is of the usual kind: all but one in each period, or as the file has it of each."""
        value = self._metadata.get(self._key(name))
        if isinstance(value, np.ndarray) and len(value) >= layers:
            return [bool(item) for item in value[:layers].tolist()]
        period = max(1, self.integer(name) or period)
        return [(layer + 1) % period != 0 for layer in range(layers)]

    def ignore(self, *names: str) -> None:
        """What says nothing of the model, or what has been said by other keys."""
        self._asked.update(names)

    def unread(self) -> tuple[str, ...]:
        """The architecture's keys that nobody asked for."""
        prefix = f"{self.architecture}."
        own = (key.removeprefix(prefix) for key in self._metadata if key.startswith(prefix))
        return tuple(f"{prefix}{name}" for name in own if name not in self._asked)

    def fail(self, name: str, problem: str) -> NoReturn:
        """Raise the InputError about a key."""
        self._metadata.fail(f"{self.architecture}.{name}", problem)

    def _key(self, name: str) -> str:
        self._asked.add(name)
        return f"{self.architecture}.{name}"
