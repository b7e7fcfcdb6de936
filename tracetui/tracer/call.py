"""One call of a model that exists already, recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from tracetui.debugger.session import Event, Tallied
from tracetui.expr.edit import Edit, plain_edits
from tracetui.expr.edit_log import EditLog
from tracetui.expr.known_sites import sites_of
from tracetui.expr.model_facts import ModelFacts, check_all
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.models.given import described, tokens_of
from tracetui.models.module_tree import KnownModel, known_model
from tracetui.models.outline import outline_of_module
from tracetui.models.ranks.parallel import without_wrapper
from tracetui.models.recordable.unshown import unshown
from tracetui.models.recordable.watchable import check_watchable
from tracetui.models.weights.available_memory import available_bytes
from tracetui.models.weights.sampled_prints import sampled_prints
from tracetui.recipe.model_facts import head_count
from tracetui.recording.keep import KEEP_ALL, ROOM, Keep, MatrixRole
from tracetui.recording.outline import Module
from tracetui.recording.record import Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.edits import Editor
from tracetui.tracer.fault import fault_of
from tracetui.tracer.gate import Gate, unheard
from tracetui.tracer.hooks.alone import alone
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass


def record_call(model: nn.Module, *args: object, **kwargs: object) -> Trace:
    """Call a model that exists already and record what its modules return; its weights stay as they are."""
    return record_module(model, args, kwargs)


def record_module(
    model: nn.Module,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    keep: Keep = KEEP_ALL,
    matrices: tuple[MatrixRole, ...] = (),
    stops: Sequence[Stop] = (),
    edits: Sequence[Edit] = (),
    emit: Callable[[Event], None] = unheard,
    names: tuple[str, str, str] | None = None,
) -> Trace:
    """The same, keeping the values that `keep` names, and attention's matrices of these roles beside.

    Nobody waits at stops: `emit` hears of them, and at the end what came of stops and edits, if there are others than
    those for NaN and infinities. An error that the model raises comes through, with a note that says in which module.
    What the call recorded may be described when somebody first looks into the trace. names: of the options for stops,
    edits and kept values; those that name what the model doesn't have are refused then.
    """
    wrapper, model = model, without_wrapper(model)
    known = known_model(model)
    check_watchable(known)
    gate = Gate(emit=emit, stops=stops, waits=False, edits=EditLog(edits), notices=False)
    run = _run_of(model, known, wrapper, edits)
    outline, tokens = outline_of_module(known), tokens_of(args, kwargs)
    if names is not None and run.parallel is None:  # a rank may lack what another one has
        _check(run, outline, tokens, stops, edits, keep, names)
    store = ValueStore(ROOM, lambda: available_bytes() // 2)
    recorder = Recorder(run, tokens, gate.arrived, keep=keep, matrices=matrices, store=store, outline=outline)
    recorder.reads(prints := sampled_prints(known))
    gate.begin(recorder.trace)
    watched = Pass(
        recorder,
        editor := Editor(recorder, gate.edits),
        gate,
        describes_when_asked=True,
        looks_late=True,
        are_weights_same=prints.are_same,
        copied=wrapper is not model and isinstance(wrapper, nn.DataParallel),
    )
    with alone(recorder), torch.no_grad(), ModelHooks(model, watched, known) as watch:
        try:
            wrapper(*args, **kwargs)
        except Exception as error:
            recorder.failed_model()
            error.add_note(fault_of(model, watch.running, recorder, error).note)
            raise
    if edits or not gate.asks_health_alone:
        recorder.settle()
        emit(Tallied(gate.tallies, editor.tallies))
    return recorder.finished(editor.notes)


def _run_of(model: nn.Module, known: KnownModel, wrapper: nn.Module, edits: Sequence[Edit]) -> RunInfo:
    run = described(model, known, wrapper)
    run = replace(run, notes=(*run.notes, *unshown(known)))
    return replace(run, recipe={**run.recipe, "edits": plain_edits(edits)}) if edits else run


def _check(
    run: RunInfo,
    outline: Module,
    tokens: Sequence[Sequence[Token]],
    stops: Sequence[Stop],
    edits: Sequence[Edit],
    keep: Keep,
    names: tuple[str, str, str],
) -> None:
    """Refuse what of the user's own names what isn't there; where there is nothing the tree isn't looked at."""
    own_stops = [stop for stop in stops if stop not in DEFAULT_STOPS]
    if own_stops or edits or keep.patterns:
        longest = max(map(len, tokens), default=0)
        facts = ModelFacts(sites_of(outline), heads=head_count(run.config), tokens=longest)
        check_all(own_stops, edits, keep, facts, names)
