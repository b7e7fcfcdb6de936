"""Where a recorded run can be taken up again, so that what lies before it need not be run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracetui.recording.record import Record, is_layer
from tracetui.recording.trace import Trace
from tracetui.recording.value import is_kept


@dataclass(frozen=True, slots=True)
class Cut:
    """A place between two records of a run: right after a layer, or at the beginning of a pass."""

    record: int = 0
    """The first record that is made anew."""
    pass_: int = 0
    layers: tuple[str, ...] = ()
    """The paths of the layers that ran before it in its pass."""
    seconds: float = 0.0
    """How long the model took for everything before the cut, without making weights."""
    whole: str = ""
    """Why the whole run is computed again; empty if everything before the cut comes from the record."""

    @property
    def taken(self) -> int:
        """How many records come from the run before."""
        return 0 if self.whole else self.record


FROM_THE_START = Cut(whole="a run from its prompt on")


def cut_before(trace: Trace, at: int) -> Cut:
    """The cut before the layer in which record `at` lies, or before what comes after all layers."""
    wanted, before = trace.records[at], trace.records[:at]
    outputs = [record for record in before if record.pass_ == wanted.pass_ and is_layer(record.site)]
    outputs = [record for record in outputs if (record.site, record.call) != (wanted.site, wanted.call)]
    start = outputs[-1].index + 1 if outputs else sum(record.pass_ < wanted.pass_ for record in before)
    told = (*outputs, *(record for record in before if record.pass_ < wanted.pass_ and record.site == "logits"))
    return Cut(
        start,
        wanted.pass_,
        tuple(dict.fromkeys(record.site for record in outputs)),
        sum(record.seconds or 0.0 for record in told if not record.part),
        _hindrance(trace, outputs, start, wanted.pass_),
    )


def _hindrance(trace: Trace, outputs: Sequence[Record], start: int, pass_: int) -> str:
    """Why nothing can be left out, as far as the trace tells."""
    if not start:
        return "no layer lies before it"
    if trace.run.recipe.get("lens"):
        return "the lens needs the residual of every layer"
    if again := next((record for record in outputs if record.call), None):
        return f"{again.site} runs several times in a pass"
    made_again = (record for record in trace.records[:start] if record.pass_ == pass_ and record.layer is None)
    needed = (*outputs, *(record for record in made_again if record.edited))
    if lost := next((record for record in needed if not is_kept(trace.value(record))), None):
        return f"the values of {lost.key} were not kept"
    return ""
