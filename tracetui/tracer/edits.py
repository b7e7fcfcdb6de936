"""Edits carried out on the model's thread: both values are recorded, and the model goes on with the changed one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from tracetui.debugger.session import Edited
from tracetui.expr.edit import Edit, EditTally
from tracetui.expr.edit_log import EditLog
from tracetui.models.ranks.local import is_all_here, with_local
from tracetui.recording.parallel import Place
from tracetui.recording.record import BEFORE_EDIT, Record, when
from tracetui.recording.value import Index
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edited_values import CantEditError, changed_by, replaced_by
from tracetui.tracer.replay.replacing import Replacements

_OF_A_RECORD = ("depth", "parent", "call", "seconds", "provenance", "inputs")


class Editor:
    """One run's edits. Used by the model thread alone."""

    def __init__(
        self,
        recorder: Recorder,
        log: EditLog | None = None,
        tell: Callable[[Edited], None] = lambda edited: None,
    ) -> None:
        """tell: called for each edit that changed a tensor."""
        self._recorder = recorder
        self.log = log or EditLog()
        self._tell = tell
        self._history: list[tuple[int, tuple[str, int], str]] = []
        """Each time that an edit was due: at which record, its identity, and why it couldn't be carried out."""
        self._given: dict[str, torch.Tensor] = {}
        self._replacements = Replacements()

    @property
    def standing(self) -> Iterator[Edit]:
        """The edits that hold for the tensor that is recorded next."""
        pass_, at = self._recorder.pass_, self._recorder.count
        return (edit for edit in self.log.now(at) if edit.is_now(pass_, at))

    @property
    def tallies(self) -> tuple[EditTally, ...]:
        """What came of each edit so far."""
        return tuple(self._tally(edit) for edit in self.log.edits)

    def _tally(self, edit: Edit) -> EditTally:
        came = [untold for _, identity, untold in self._history if identity == edit.identity]
        return EditTally(edit, came.count(""), next(filter(None, reversed(came)), ""))

    @property
    def notes(self) -> tuple[str, ...]:
        """What must stand beside the result: the edits that changed something, in their order."""
        done = dict.fromkeys(identity for _, identity, untold in self._history if not untold)
        texts = {edit.identity: edit.text for edit in self.log.edits}
        return tuple(f"edited: {texts[identity]}" for identity in done if identity in texts)

    def carry(self, past: Editor, count: int) -> None:
        """Take over what edits did before record `count`, in a run that is continued there, and the files they read."""
        self._history = [came for came in past._history if came[0] < count]
        self._replacements.keep_open(past._replacements, past.log.edits, self._history)

    def forget(self) -> None:
        """Drop what was kept of modules' inputs."""
        self._given.clear()

    def given(self, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Look at what the module at `path` is about to run on: if it is to be skipped, that is what it gives back."""
        if not self.log.now(self._recorder.count) or not path:
            return
        # Of an earlier call: an edit that is made while the module runs must not find that.
        self._given.pop(path, None)
        if not any(edit.action.name == "skip" and edit.is_for(path) for edit in self.standing):
            return
        given = next((value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)), None)
        if given is not None and is_all_here(given):
            # A copy: some modules write into what they are given.
            self._given[path] = self._recorder.local(given).detach().clone()

    def record(
        self, site: str, tensor: torch.Tensor, original: torch.Tensor | None = None, fixed: str = "", **said: Any
    ) -> tuple[torch.Tensor, Record]:
        """Apply the edits to a tensor and record it; returns what the model goes on with, and its record.

        If it is edited, the original is recorded first. original: the value before another edit's effect. fixed: why
        the tensor can't be edited. `said` is passed on to Recorder.record.
        """
        call, part = said.get("call", 0), said.get("part", 0)
        if self._recorder.repeats and (known := self._recorder.repeated(site, tensor, call, part)) is not None:
            return known
        changed, idle = tensor, self.log.idle
        if not idle:
            edits = self._for(site, said)
            if fixed:
                for edit in edits:
                    self._note(edit, fixed)
                return tensor, self._recorder.record(site, tensor, **said)
            changed = self._edited(edits, site, tensor, **said)
        if idle and original is None:
            record = self._recorder.record(site, tensor, **said)
        else:
            record = self.record_both(site, tensor if original is None else original, changed, **said)
        if fixed or not self.log.edits:
            return changed, record
        return self._late(partial(Edit.is_for, site=_named(site, said)), changed, record, **said)

    def late(self, site: str, tensor: torch.Tensor, record: Record) -> torch.Tensor:
        """What edits make of a tensor that were asked for while the model waited at its record."""
        said = {name: getattr(record, name) for name in _OF_A_RECORD}
        return self._late(partial(Edit.is_for, site=site), tensor, record, **said)[0]

    def _for(self, site: str, said: Mapping[str, Any]) -> list[Edit]:
        named = _named(site, said)
        return [edit for edit in self.standing if edit.is_for(named)]

    def record_expert(
        self, block: str, holder: str, expert: int, output: torch.Tensor, **said: Any
    ) -> tuple[torch.Tensor, Record]:
        """The same of an expert's output [n,D]."""
        edits = [] if self.log.idle else [edit for edit in self.standing if edit.is_for_expert(block, holder, expert)]
        changed = self._edited(edits, f"{holder}.{expert}", output, **said)
        record = self.record_both(f"{holder}.{expert}", output, changed, **said)
        return self._late(lambda edit: edit.is_for_expert(block, holder, expert), changed, record, **said)

    def _late(
        self, is_for: Callable[[Edit], bool], tensor: torch.Tensor, record: Record, **said: Any
    ) -> tuple[torch.Tensor, Record]:
        """Carry out edits that were made while the model waited at a record that none had changed."""
        if record.edited or not self.log.edits:
            return tensor, record
        edits = [edit for edit in self.log.edits if edit.first == record.index and is_for(edit)]
        edits = [edit for edit in edits if edit.is_now(record.pass_, record.index) and edit.action.name != "skip"]
        changed = self._edited(edits, record.site, tensor, **said)
        if changed is tensor:
            return tensor, record
        self._recorder.rename(record, _before(record.site))
        return changed, self._recorder.record(record.site, changed, edited=True, **said)

    def choice(self, block: str, experts: torch.Tensor, count: int) -> torch.Tensor:
        """The experts [N,A], of `count`, that tokens go to after edits; the same tensor if no edit concerns them."""
        for edit in self.standing:
            if edit.chooses(block):
                key = f"{block}:experts{when(self._recorder.pass_)}"
                experts = self._carried_out(edit, key, partial(_chosen, edit, experts, count), experts)
        return experts

    def _edited(self, edits: Sequence[Edit], site: str, tensor: torch.Tensor, **said: Any) -> torch.Tensor:
        if not edits:
            return tensor
        local = changed = self._recorder.local(tensor)
        place = self._recorder.place_of(site, local, **said)
        for edit in edits:
            at = when(self._recorder.pass_, said.get("call", 0))
            key = f"{site}{at}#{said.get('part', 0)}"
            told = f"{_named(site, said)}{at}"
            change = partial(self._changed, edit, changed, place, site, key)
            changed = self._carried_out(edit, told, change, changed)
        return tensor if changed is local else with_local(tensor, changed)

    def record_both(self, site: str, original: torch.Tensor, changed: torch.Tensor, **said: Any) -> Record:
        """Record what was there before the edits, if there were any, and then what is there now."""
        if changed is original:
            return self._recorder.record(site, changed, **said)
        self._recorder.record(_before(site), original, **{**said, "seconds": None})
        return self._recorder.record(site, changed, edited=True, **said)

    def _carried_out(
        self, edit: Edit, key: str, change: Callable[[], torch.Tensor], before: torch.Tensor
    ) -> torch.Tensor:
        try:
            changed = change()
        except CantEditError as error:
            self._note(edit, str(error))
            return before
        self._note(edit)
        self._tell(Edited(edit.text, key))
        return changed

    def _note(self, edit: Edit, untold: str = "") -> None:
        self._history.append((len(self._recorder.trace.records), edit.identity, untold))

    def _changed(self, edit: Edit, tensor: torch.Tensor, place: Place, site: str, key: str) -> torch.Tensor:
        """tensor: what lies here, `place` says which part of the whole it is."""
        if edit.action.name == "skip":
            return self._skipped(tensor, site, key)
        if not tensor.is_floating_point():
            raise CantEditError(f"{site}: holds no floats")
        index: Index = edit.index
        if edit.head is not None:
            heads = place.whole_shape(tuple(tensor.shape))[1]
            if edit.head >= heads:
                raise CantEditError(f"{site}: there are heads 0–{heads - 1}")
            index = (*(index[:1] or (slice(None),)), edit.head, *index[2:])
        if edit.action.source is not None:
            source, theirs = edit.action.source, _key_there(key)
            by_head = edit.head is not None
            return replaced_by(
                edit,
                lambda like: self._replacements.part(source, theirs, index, like, by_head),
                tensor,
                index,
                key,
                place,
            )
        return changed_by(edit, tensor, index, key, place)

    def _skipped(self, tensor: torch.Tensor, site: str, key: str) -> torch.Tensor:
        given = self._given.get(site)
        if given is None or not key.endswith("#0"):
            raise CantEditError(f"{site}: what came in isn't known; such an edit has to stand before the module runs")
        if given.shape != tensor.shape or given.dtype != tensor.dtype:
            shapes = f"{list(given.shape)} came in, {list(tensor.shape)} goes out"
            raise CantEditError(f"{site}: can't be skipped: {shapes}")
        return given


def _named(site: str, said: Mapping[str, Any]) -> str:
    part = said.get("part", 0)
    return f"{site}#{part}" if part else site


def _key_there(key: str) -> str:
    """The key in another trace of what an edit calls `key`: `site#part@pass` for `site@pass#part`."""
    site, _, part = key.partition("#")
    name, _, at = site.partition("@")
    return f"{name}{'' if part == '0' else f'#{part}'}{f'@{at}' if at else ''}"


def _before(site: str) -> str:
    return f"{site}:{BEFORE_EDIT}"


def _chosen(edit: Edit, experts: torch.Tensor, count: int) -> torch.Tensor:
    """The choice [N,A] with an edit's experts in it."""
    tokens, each = experts.shape
    wanted = edit.action.experts
    if len(wanted) != each:
        raise CantEditError(f"a token has {each} experts here, {len(wanted)} are named")
    if max(wanted) >= count:
        raise CantEditError(f"there are experts 0–{count - 1}")
    token = edit.token
    if token is not None and not -tokens <= token < tokens:
        raise CantEditError(f"there are tokens 0–{tokens - 1}")
    changed = experts.clone()
    changed[slice(None) if token is None else token] = experts.new_tensor(wanted)
    return changed
