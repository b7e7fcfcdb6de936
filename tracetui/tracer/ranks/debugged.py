"""A program's ranks in `tracetui.debug`: which of them have met, and what each then does."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from tracetui.errors import InputError
from tracetui.models.module_tree import known_model
from tracetui.models.ranks.parallel import without_wrapper
from tracetui.models.ranks.stages import must_end
from tracetui.models.runnable import Runnable
from tracetui.tracer.ranks.following import Follower, interrupts
from tracetui.tracer.ranks.together import MeetingPoints, Ranks, meeting_points, ranks_for
from tracetui.tracer.ranks.visit import Leading

_CANT_WAIT = (
    "debug: a model in stages, or whose weights are put together for each call (FSDP), can't be left on its way; "
    "tracetui.trace(model, …) records it on each rank"
)


def leading_of(model: nn.Module) -> Leading:
    """Of the rank that has the screen, once all have met. Raises InputError for a model that ranks can't hold."""
    return Leading(*_met(model))


def followed(model: nn.Module, make: Callable[[], Runnable]) -> Follower:
    """What another rank has after the visit. Raises InputError, and KeyboardInterrupt for Ctrl-C here or there."""
    with interrupts() as is_interrupted:
        ranks, points = _met(model)
        follower = Follower(make())
        follower.follow(ranks, points, is_interrupted)
    return follower


def _met(model: nn.Module) -> tuple[Ranks, MeetingPoints]:
    ranks, known = ranks_for("tracetui.debug"), known_model(without_wrapper(model))
    assert ranks is not None
    if must_end(known.modules):
        raise InputError(_CANT_WAIT)
    ranks.gather()
    # Before anybody waits for a user: it is made by all at once.
    ranks.most([0])
    return ranks, meeting_points(known)
