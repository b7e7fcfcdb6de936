"""What is made when somebody first looks."""

from __future__ import annotations

import pytest

from tracetui.errors import RunError
from tracetui.recording.later import LaterSequence, Once


def test_work_is_done_once_and_what_it_made_is_there() -> None:
    made: list[int] = []
    numbers = LaterSequence(made, Once(lambda: made.append(len(made))))
    assert [*numbers, *numbers, len(numbers)] == [0, 0, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_was_broken_off_is_never_taken_for_whole(error: type[BaseException]) -> None:
    made: list[int] = []

    def work() -> None:
        made.append(1)
        raise error

    numbers = LaterSequence(made, Once(work))
    with pytest.raises(error):
        len(numbers)
    for look in (len, list):
        with pytest.raises(RunError, match="broken off"):
            look(numbers)
    assert made == [1]
