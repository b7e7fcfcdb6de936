"""One run and all that is left of it, so that it can be taken up again from any of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from torch import nn

from tracetui.analysis.memory import MemoryPlan
from tracetui.errors import InputError
from tracetui.expr.edit_log import EditLog
from tracetui.recipe import Prompts
from tracetui.recording.cut import FROM_THE_START, Cut, cut_before
from tracetui.recording.record import Record, Token
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.generation.generating import GeneratingRun, PromptRun
from tracetui.tracer.replay.layer_outputs import LayerOutputs, cache_in
from tracetui.tracer.replay.replay_recorder import ReplayRecorder
from tracetui.tracer.replay.stubs import RecordedLayer, in_list, replaced


@dataclass(eq=False, slots=True)
class PastRun:
    """What belongs to one run. Used by the model's thread alone."""

    prompts: Prompts
    tokens: tuple[tuple[Token, ...], ...]
    """Of the prompts."""
    recorder: Recorder
    editor: Editor
    edits: EditLog
    passes: GeneratingRun | PromptRun
    ledger: LayerOutputs
    plan: MemoryPlan
    """For all of it from its prompt on."""
    steps: bool
    """Whether some layer's attention was to be computed step by step."""
    wanted: int = 0
    """How many tokens each row was to get."""
    cut: Cut = FROM_THE_START

    @property
    def left(self) -> int:
        """How many tokens are still to be chosen when its first pass is over."""
        return max(0, self.wanted - self.cut.pass_ * (not self.cut.whole))


def cut_of(past: PastRun, at: int, model: nn.Module, keeper: str = "") -> Cut:
    """Where a run is taken up again to come to its record `at`, and why not before, if so. Raises InputError.

    keeper: the path of a module that keeps a state in itself.
    """
    past.recorder.later.write(past.recorder)
    trace = past.recorder.trace
    if not 0 <= at < len(trace):
        raise InputError(f"there is no record {at} to run again from")
    cut = cut_before(trace, at)
    return cut if cut.whole else replace(cut, whole=_hindrance(past, cut, model, keeper))


def _hindrance(past: PastRun, cut: Cut, model: nn.Module, keeper: str) -> str:
    if past.ledger.odd:
        return past.ledger.odd
    if keeper:
        return f"{keeper} keeps in itself what it goes on with"
    if isinstance(past.passes, PromptRun) and past.passes.own:
        return "the model is called in your own way"
    if cut.pass_ and not (isinstance(past.passes, GeneratingRun) and past.ledger.has_cache):
        return "there is no cache to go on with"
    if not all(in_list(model, path) for path in cut.layers):
        return "this family keeps its layers in no list"
    cached = isinstance(past.passes, GeneratingRun)
    unknown = (path for path in cut.layers if not past.ledger.knows(path, cut.pass_, cached))
    if (path := next(unknown, None)) is not None:
        return f"what {path} left in the cache is not known"
    return ""


class WatchedPasses(Protocol):
    """Has a model watched for the length of a `with`."""

    def __call__(self, stubs: Mapping[str, nn.Module] | None = None) -> AbstractContextManager[object]:
        """stubs: what stands for layers meanwhile, by their paths."""
        ...


def run_passes(run: PastRun, model: nn.Module, watch: WatchedPasses) -> None:
    """The passes of a run.

    Of the pass of a cut the layers before it are left out, and stand again in their places whatever happens.
    """
    if run.cut.whole:
        with watch():
            run.passes.begin()
            run.passes.generate(run.left)
        return
    recorder = run.recorder
    assert isinstance(recorder, ReplayRecorder)
    if not run.cut.layers:
        recorder.live()
    stubs = _stubs(run, recorder, model)
    with replaced(model, stubs), watch(stubs):
        run.passes.begin()
    if run.left:
        with watch():
            run.passes.generate(run.left)


def _stubs(run: PastRun, recorder: ReplayRecorder, model: nn.Module) -> dict[str, nn.Module]:
    """What stands for the layers before a run's cut."""
    found: dict[str, list[Record]] = {path: [] for path in run.cut.layers}
    for record in run.recorder.trace.records[: run.cut.record]:
        if record.pass_ == run.cut.pass_ and record.site in found:
            found[record.site].append(record)
    layers = {path: model.get_submodule(path) for path in found}
    give = partial(_give, run, recorder)
    return {path: RecordedLayer(layers[path], partial(give, path, layers[path], found[path])) for path in found}


def _give(
    run: PastRun,
    recorder: ReplayRecorder,
    path: str,
    layer: nn.Module,
    records: Sequence[Record],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    tensors = [recorder.returns(record) for record in records]
    if (cache := cache_in(args, kwargs)) is not None:
        positions = max(map(len, run.tokens)) + run.cut.pass_
        run.ledger.put_back(path, layer, cache, run.cut.pass_, positions)
    if path == run.cut.layers[-1]:
        recorder.live()
    return run.ledger.give(path, tensors)
