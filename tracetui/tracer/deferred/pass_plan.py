"""The records of a pass, made as those of an earlier one of the same steps: shapes, times and values are filled in.

Which module is inside which, which record holds what it was given, and where the residual stream stands follow from the
modules that ran, from which of their tensors are one and the same, and from what was compared of values. Where all that
is as it was in a pass that was described step by step, so are the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from tracetui.recording.record import CALLERS, record_of
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.capture.snapshots import NONE, Snapshots
from tracetui.tracer.capture.values import TorchValue
from tracetui.tracer.deferred import describing as steps
from tracetui.tracer.deferred.describing import Describing, Log
from tracetui.tracer.deferred.pass_shapes import PassShapes, seen_as_they_are
from tracetui.tracer.deferred.planned_records import NotPlannedError, PlannedRecord, planned_records
from tracetui.tracer.residual.plain_sum import is_plain_sum, plain_sums
from tracetui.tracer.residual.sum import is_sum
from tracetui.tracer.residual.value_questions import Learnt, ValueQuestion

_MOST = 4
"""Plans of one model: of its prompt's pass, of those of further tokens, and of what came in between."""
_PLANNED = {
    steps.BEGAN,
    steps.BEGAN_WITH,
    steps.ENDED,
    steps.RETURNED,
    steps.KERNEL_BEGAN,
    steps.KERNEL_ENDED,
}
"""Steps that are the same each time; which experts are hit, and by how many tokens, is another in each pass."""


class PassPlans:
    """Of one model, the newest first. May be used by any thread."""

    def __init__(self, modules: Mapping[str, nn.Module] | None = None) -> None:
        self._plans: tuple[_PassPlan, ...] = ()

    def describe(self, log: Log, describing: Describing, finite: bool) -> None:
        """Make records of what came by: as it was planned, or step by step. finite: whether all values are that."""
        if not (finite and describing.begins_pass and _is_whole(log)):
            describing.recorder.later.write(describing.recorder)
            for _ in describing.describe(log):
                pass
            return
        plan = next((plan for plan in self._plans if plan.fits(log, describing)), None)
        if plan is not None:
            plan.carry_out(log, describing)
            return
        describing.recorder.later.write(describing.recorder)
        if (made := _PassPlan.of(log, describing)) is not None:
            self._plans = (made, *self._plans[: _MOST - 1])


def _is_whole(log: Log) -> bool:
    """Whether a log is one of plain steps, in which each module that began has ended."""
    kinds = log[:: steps.WIDTH]
    began, ended = (sum(map(kinds.count, each)) for each in (steps.BEGINNINGS, steps.ENDS))
    return began == ended and _PLANNED.issuperset(kinds)


class _LikeliestSum(NamedTuple):
    """A question whether a tensor is a sum, to which the answer was that it is the plainest one, or no plain one."""

    asked: ValueQuestion
    numbers: tuple[int, int, int]
    """Of the sum, of the stream, and of what was added to it last."""


@dataclass(frozen=True, eq=False, slots=True)
class _PassPlan:
    """What a pass must be like, and its records then."""

    kinds: Sequence[int]
    about: Sequence[object]
    numbers: Sequence[object]
    bases: Mapping[int, int]
    shapes: PassShapes
    before: Learnt
    sums: Sequence[_LikeliestSum]
    """What most questions about values are about."""
    others: Sequence[ValueQuestion]
    """The rest of them, about the numbers of tensors."""
    records: Sequence[PlannedRecord]
    calls: Mapping[str, int]
    """How often each module is called."""
    after: Learnt

    @classmethod
    def of(cls, log: Log, describing: Describing) -> _PassPlan | None:
        """Describe a pass step by step, and keep how; None of one that need not be the same next time."""
        recorder, residual, snapshots = describing.recorder, describing.residual, describing.snapshots
        before, notes, base = residual.learnt.copy(), len(recorder.notes), recorder.count
        heard: list[ValueQuestion] = []
        residual.value_questions.heard = heard
        try:
            counts = [recorder.count for _ in describing.describe(log)]
        finally:
            residual.value_questions.heard = None
        shapes = PassShapes.of(log, snapshots)
        try:
            comparisons = [_numbered(each, snapshots) for each in heard]
            records = list(planned_records(log, describing, base, counts, shapes.grown))
        except NotPlannedError:
            return None
        if len(recorder.notes) != notes or not describing.is_over:
            return None
        kinds, about, numbers = (log[place :: steps.WIDTH] for place in range(3))
        bases, calls, after = dict(snapshots.bases), dict(recorder.calls), residual.learnt.copy()
        sums = _sums_of(comparisons, snapshots)
        asked = [each.asked for each in sums]
        left = [each for each in comparisons if each not in asked]
        return cls(kinds, about, numbers, bases, shapes, before, sums, left, records, calls, after)

    def fits(self, log: Log, describing: Describing) -> bool:
        """Whether a pass is like this; nothing of it is described yet."""
        snapshots = describing.snapshots
        if log[:: steps.WIDTH] != self.kinds or log[2 :: steps.WIDTH] != self.numbers:
            return False
        if log[1 :: steps.WIDTH] != self.about or snapshots.bases != self.bases or not self.shapes.are_of(snapshots):
            return False
        if describing.residual.learnt != self.before:
            return False
        return self._are_answered_alike(snapshots)

    def _are_answered_alike(self, snapshots: Snapshots) -> bool:
        """Whether what was asked of values has the same answers; of sums that are alike those are given in one go."""
        left = self.others
        if self.sums:
            tensors = zip(*(map(snapshots.at_hand_of, each.numbers) for each in self.sums), strict=True)
            told = zip(self.sums, plain_sums(*tensors), strict=True)
            unlike = [each.asked for each, is_plain in told if is_plain != each.asked.answer]
            left = (*left, *unlike)
        return all(each.question(*_tensors(each.about, snapshots)) == each.answer for each in left)

    def carry_out(self, log: Log, describing: Describing) -> None:
        """What a pass that fits makes known; its records are written down later."""
        recorder, times, base = describing.recorder, log[3 :: steps.WIDTH], describing.recorder.count
        recorder.calls.update(self.calls)
        values = describing.snapshots.values_later()
        recorder.later.add(len(self.records), partial(self._write, times, values, recorder.pass_, base))
        recorder.sources.add_when_asked(partial(self._sources, values, base))
        describing.gate.passed_sound(len(self.records))
        describing.residual.learnt = self.after.copy()

    def _write(
        self,
        times: Sequence[float],
        made: Callable[[], Sequence[TorchValue]],
        pass_: int,
        base: int,
        recorder: Recorder,
    ) -> None:
        """Make the records of a pass that fits."""
        values = made()
        add_value, add_record = recorder.append
        for index, planned in enumerate(self.records, base):
            number, shape, began, ended, inputs, attention, site, dtype, depth, parent, call, part, provenance = planned
            value = values[number]
            record = record_of(
                index,
                site,
                tuple(value.captured.shape) if shape is None else shape,
                dtype,
                depth,
                parent,
                pass_,
                call,
                part,
                None if ended == NONE else times[ended] - times[began],
                provenance,
                False,
                tuple([place + base if place >= 0 else place for place in inputs]) if base else inputs,
            )
            if attention is not None:
                recorder.attention_call(record.key, attention)
            if site == "logits":
                recorder.know(recorder.name_predictions(value))
            add_value(value)
            add_record(record)

    def _sources(self, made: Callable[[], Sequence[TorchValue]], base: int) -> Iterator[tuple[torch.Tensor, int]]:
        """What tensors are known by to whom they are given next: the caller's, and those that were recorded."""
        values = made()
        given = cast("Any", self.numbers[0])
        tensors = [values[number].captured for number in seen_as_they_are(self.kinds[0], given)]
        yield from ((tensor, CALLERS) for tensor in tensors if tensor.is_floating_point())
        for index, planned in enumerate(self.records, base):
            if not planned.site.endswith(":mask"):
                yield values[planned.number].captured, index


def _sums_of(comparisons: Sequence[ValueQuestion], snapshots: Snapshots) -> list[_LikeliestSum]:
    """The sums among what was asked that are alike, so that all can be looked at together."""
    found: dict[object, list[_LikeliestSum]] = {}
    for each in comparisons:
        total, stream, *others = each.about
        if each.question is is_plain_sum:
            numbers = (total, stream, others[-1])
        elif each.question is is_sum and each.answer:
            numbers = (total, stream, others[-1][-1])
        else:
            continue
        tensors = [snapshots.values[number].captured for number in numbers]
        kinds = {(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors}
        if len(kinds) == 1 and tensors[0].dim():
            found.setdefault(kinds.pop(), []).append(_LikeliestSum(each, numbers))
    return max(found.values(), key=len, default=[])


def _numbered(comparison: ValueQuestion, snapshots: Snapshots) -> ValueQuestion:
    return ValueQuestion(comparison.question, _numbers(comparison.about, snapshots), comparison.answer)


def _numbers(about: Any, snapshots: Snapshots) -> Any:
    if about is None:
        return None
    if not isinstance(about, torch.Tensor):
        return tuple(_numbers(each, snapshots) for each in about)
    number = snapshots.number_of(about)
    if number == NONE:
        # A parameter, or what was computed of several tensors.
        raise NotPlannedError
    return number


def _tensors(numbers: Any, snapshots: Snapshots) -> Any:
    if type(numbers) is int:
        return snapshots.at_hand_of(numbers)
    return None if numbers is None else [_tensors(each, snapshots) for each in numbers]
