"""What those who watch a run's passes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import nn

from tracetui.models.weights.streaming import Making, Weights
from tracetui.recording.record import Token
from tracetui.tracer.attention.mla import Latents
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.frames import Frame
from tracetui.tracer.hooks.work_clock import WorkClock


@dataclass(eq=False)
class Pass:
    """One run's passes, as far as one watch of the model goes. Used by the model's thread alone."""

    recorder: Recorder
    editor: Editor
    """Changes what passes by."""
    gate: Gate = field(default_factory=lambda: Gate(waits=False))
    """Its stops hold, and while it waits no module's time counts."""
    weights: Weights | None = None
    """Made just in time; None where they stand in the model."""
    making: Making = lambda name, done, total: None
    latents: Latents = field(default_factory=Latents)
    """Of the passes that came before."""
    absorb: bool = False
    """Whether latent attention is computed from its latent."""
    lens: int = 0
    """How many tokens each layer's residual would predict, at every place."""
    token: Callable[[int], Token] = lambda token_id: Token(token_id, b"")
    """What an id stands for."""
    describes_when_asked: bool = False
    """Whether a call that went well may be described after its watch is over, as soon as somebody looks."""
    is_read_later: bool = False
    """Whether nobody looks at records before the run is over, so that passes may be described together."""
    looks_late: bool = False
    """Whether nobody waits or leaves where something isn't finite, so that a little later is early enough to know."""
    are_weights_same: Callable[[], bool] = lambda: False
    """Whether weights are, as far as anybody can tell, what they were when the model was called."""
    layers_alone: bool = False
    """Whether layers' outputs and the model's own are recorded, and nothing else."""
    copied: bool = False
    """Whether the model is called in copies of it, one for each device."""
    frames: list[Frame] = field(default_factory=list)
    """The modules that run, outermost first."""

    def __post_init__(self) -> None:
        self.clock = WorkClock(self.gate)


@contextmanager
def weights_there(watched: Pass, module: nn.Module) -> Iterator[None]:
    """A module has its weights for the length of a `with`; those that it has already stay."""
    weights = watched.weights
    if weights is None or not weights.needed_by(module) or not weights.lacks(module):
        yield
        return
    weights.put_in(module, watched.making)
    try:
        yield
    finally:
        weights.take_out(module)
