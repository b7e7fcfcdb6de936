"""What keeps the ranks' records from being put together is said, and isn't taken for a fault of the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracetui.errors import InputError
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.tracer.orders import GatherRanks
from tracetui.tracer.ranks.asked_ranks import Gathering


def test_a_folder_that_cannot_be_written_is_named() -> None:
    def gather(trace: Trace, folder: Path) -> Trace:
        raise PermissionError(13, "Permission denied", str(folder))

    def put(order: GatherRanks) -> None:
        order.carry_out(EMPTY_TRACE)

    gathering = Gathering(gather)
    with pytest.raises(InputError, match=r"can't be put together: .*Permission denied: .*tracetui-ranks-"):
        gathering.ranks_of(EMPTY_TRACE, 2, put)[None]
    gathering.close()
