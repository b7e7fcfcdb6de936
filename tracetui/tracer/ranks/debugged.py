"""A program's ranks in `tracetui.debug`: which of them have met, and what each then does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from tracetui.errors import InputError
from tracetui.models.module_tree import known_model
from tracetui.models.ranks.parallel import without_wrapper
from tracetui.models.ranks.stages import must_end
from tracetui.models.runnable import Runnable
from tracetui.tracer.live import LiveSession
from tracetui.tracer.ranks.follower import Follower, interrupts
from tracetui.tracer.ranks.following import Following
from tracetui.tracer.ranks.leading import Leading
from tracetui.tracer.ranks.together import MeetingPoints, Ranks, meeting_points, ranks_for
from tracetui.tracer.ranks.turns import Turns, is_in_stages, stage_groups

INTERRUPTED = 130
"""The status of what Ctrl-C ended."""
_CANT_WAIT = (
    "debug: a model in stages, or whose weights are put together for each call (FSDP), can't be left on its way; "
    "tracetui.trace(model, …) records it on each rank"
)


def left_at_once(
    on_screen: Callable[..., object], leave: Callable[[int], object], sessions: Sequence[LiveSession]
) -> bool:
    """Ctrl-C was heard on another rank, or whoever started all is gone: the model leaves its run here too.

    on_screen: calls something on the screen's thread. False if the screen isn't up yet, or no more.
    """
    for session in sessions:
        session.cancel()
    try:
        on_screen(leave, INTERRUPTED)
    except RuntimeError:
        return False
    return True


def leading_of(model: nn.Module) -> Leading:
    """Of the rank that has the screen, once all have met. Raises InputError for a model that ranks can't hold."""
    return Leading(*_met(model))


def followed(model: nn.Module, make: Callable[[], Runnable]) -> Follower:
    """What another rank has after the visit. Raises InputError, and KeyboardInterrupt for Ctrl-C here or there."""
    with interrupts() as is_interrupted:
        ranks, points = _met(model)
        follower = Follower(make(), Following(ranks, points, is_interrupted), is_interrupted)
        follower.follow()
    return follower


def leading_on(ranks: Ranks, model: Runnable) -> Leading:
    """The same for a model that all ranks have made together, which may be in stages."""
    module, near, points = model.built.module, _near(ranks, model), _points(model)
    leading = Leading(ranks, points, near)
    if is_in_stages(module):
        leading.turns = _in_turn(module, leading)
        leading.later = range(len(stage_groups(module, ranks.world)[0]), ranks.world)
    return leading


def followed_on(ranks: Ranks, model: Runnable, is_interrupted: Callable[[], bool]) -> None:
    """Raises KeyboardInterrupt for Ctrl-C here or there, and RunError where the others are gone."""
    module, near, points = model.built.module, _near(ranks, model), _points(model)
    in_stages = is_in_stages(module)
    is_later = in_stages and ranks.rank not in stage_groups(module, ranks.world)[0]
    visit = Following(ranks, points, is_interrupted, near, is_later)
    if in_stages:
        visit.turns = _in_turn(module, visit)
    Follower(model, visit, is_interrupted).follow()


def _near(ranks: Ranks, model: Runnable) -> Ranks:
    """Those that run the same modules."""
    module = model.built.module
    return ranks.among(stage_groups(module, ranks.world)) if is_in_stages(module) else ranks


def _points(model: Runnable) -> MeetingPoints:
    return meeting_points(known_model(model.built.module), in_turn=True)


def _in_turn(module: nn.Module, visit: Leading | Following) -> Turns:
    turns = Turns(module, visit)
    # Before the ranks compare their tokens, which is a collective.
    module.register_forward_pre_hook(lambda *_: turns.pass_begins())
    return turns


def _met(model: nn.Module) -> tuple[Ranks, MeetingPoints]:
    ranks, known = ranks_for("tracetui.debug"), known_model(without_wrapper(model))
    assert ranks is not None
    if must_end(known.modules):
        raise InputError(_CANT_WAIT)
    ranks.gather()
    # Before anybody waits for a user: it is made by all at once.
    ranks.most([0])
    return ranks, meeting_points(known)
