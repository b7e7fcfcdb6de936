"""A model in stages: each rank waits for its turn at the store, and is in no collective until the one before has sent.

The first stage alone is stepped through. What later ones record is seen once the run has ended; a stop that holds there
is told then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from torch import nn

from tracetui.tracer.ranks.together import Ranks

_SEND, _RECEIVE = "send_forward", "recv_forward"
_STAGE = "_pp_stage"


class Waiting(Protocol):
    """A rank's side of a visit."""

    ranks: Ranks

    def named_of_run(self, what: str) -> str:
        """Under which something of the run under way stands in the store."""
        ...

    @property
    def changes(self) -> int:
        """How many changes of stops and edits this rank knows of."""
        ...

    def wait_for(self, name: str) -> str:
        """What somebody writes under a name. Raises Cancelled once the run is left."""
        ...

    def takes_turn(self, changes: int) -> None:
        """This rank's stage begins: so many changes hold from here on."""
        ...


class Turns:
    """One rank's. Between passes and between stages it waits where Ctrl-C is heard."""

    def __init__(self, model: nn.Module, visit: Waiting) -> None:
        self._visit = visit
        self._stage: Any = getattr(model, _STAGE)
        self._passes = 0
        self._stage.communicate = partial(self._communicate, self._stage.communicate)

    def run_begins(self) -> None:
        """The passes of a run are counted from its beginning."""
        self._passes = 0

    def pass_begins(self) -> None:
        """Before anything of a pass: the first rank goes on to it, or all leave."""
        self._passes += 1
        name = self._visit.named_of_run(f"pass{self._passes}")
        if self._visit.ranks.rank == 0:
            self._visit.ranks.write(name, "")
        else:
            self._visit.wait_for(name)

    def _communicate(self, communicate: Callable[..., Any], operation: str, **said: Any) -> Any:
        stage = self._stage
        if operation == _SEND and not stage.pp_is_last_stage:
            self._visit.ranks.write(self._sent(stage.pp_rank), str(self._visit.changes))
        elif operation == _RECEIVE and not stage.pp_is_first_stage:
            self._visit.takes_turn(int(self._visit.wait_for(self._sent(stage.pp_rank - 1))))
        return communicate(operation, **said)

    def _sent(self, stage: int) -> str:
        return self._visit.named_of_run(f"sent{stage}/{self._passes}")


def is_in_stages(model: nn.Module) -> bool:
    """Whether a model is cut into stages by transformers."""
    return hasattr(model, _STAGE)


def stage_groups(model: nn.Module, world: int) -> list[list[int]]:
    """The ranks of each stage, the first one's first."""
    stages = int(getattr(model, _STAGE).pp_size)
    each = world // stages
    return [list(range(first, first + each)) for first in range(0, world, each)]
