"""Looking for NaN and infinities in the snapshots of a pass."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tracetui.native.statistics import first_not_finite
from tracetui.tracer.capture.statistics import floats_in, rows_of

if TYPE_CHECKING:
    from tracetui.tracer.capture.snapshots import Snapshots


class FiniteLook:
    """Of one run's snapshots. Used by the model's thread alone."""

    def __init__(self) -> None:
        self.not_finite: set[int] = set()
        """The numbers of values in which something isn't."""
        self.looked_at = 0
        """How many values somebody has looked at."""
        self.finite_until = 0
        """The number below which all are known to be finite whose values aren't made yet."""

    def forget(self) -> None:
        self.not_finite.clear()
        self.looked_at = self.finite_until = 0

    def are_finite(self, snapshots: Snapshots) -> bool:
        """Whether all values are; afterwards each of them knows."""
        numbers = range(self.looked_at, len(snapshots.captured))
        self.looked_at = numbers.stop
        # Where somebody has asked for statistics, they tell it of nearly all.
        made = snapshots.values[numbers.start :] if snapshots.has_made(numbers.stop) else ()
        are_known = any(value.is_looked_at for value in made)
        return (not are_known and self._are_plainly_finite(snapshots, numbers)) or self.look_at(snapshots, numbers)

    def _are_plainly_finite(self, snapshots: Snapshots, numbers: range) -> bool:
        """Whether compiled code sees at once that all of these are, so that no value need be made."""
        if self.not_finite or snapshots.are_on_a_device:
            return False
        rows = rows_of(snapshots.captured[numbers.start :])
        if rows is None or first_not_finite(rows) != len(rows) // 3:
            return False
        self.finite_until = numbers.stop
        return True

    def look_at(self, snapshots: Snapshots, numbers: Iterable[int]) -> bool:
        """Whether nothing is known not to be finite once somebody has looked at these values too."""
        waiting, places, values = list[int](), list[int](), snapshots.values
        for number in numbers:
            value = values[number]
            if not value.is_looked_at and (row := floats_in(value.captured)) is not None:
                waiting.append(number)
                places += row
            elif not value.all_finite():
                self.not_finite.add(number)
        if waiting and first_not_finite(array("q", places)) != len(waiting):
            self.not_finite.update(number for number in waiting if not values[number].all_finite())
        else:
            for number in waiting:
                values[number].finite = True
        return not self.not_finite

    def are_ends_finite(self, snapshots: Snapshots, numbers: Iterable[int]) -> bool:
        """Whether the first and the last row of each of these values is; of one that lies in no rows, all of it."""
        places, others = list[int](), list[int]()
        for number in numbers:
            tensor = snapshots.captured[number]
            row, width = floats_in(tensor), tensor.shape[-1] if tensor.dim() else 1
            if row is None or not tensor.is_contiguous():
                others.append(number)
                continue
            address, count, kind = row
            places += address, min(width, count), kind
            places += address + max(0, count - width) * tensor.itemsize, min(width, count), kind
        finite = not places or first_not_finite(array("q", places)) == len(places) // 3
        return finite and (not others or self.look_at(snapshots, others))
