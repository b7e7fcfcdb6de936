"""The debugger: every command as an action, over one state that all panes show.

Dialogs are imported by the action that opens them: what isn't on the first screen isn't loaded before it is painted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import BindingType

from tracetui.debugger.attention_view import Shown
from tracetui.debugger.baseline import edits_said
from tracetui.debugger.no_step import nothing_yet
from tracetui.debugger.planes import plane_of, query_heads
from tracetui.debugger.session import (
    Sourced,
)
from tracetui.debugger.state import row_moved, token_moved, weights_place
from tracetui.recording.record import when
from tracetui.recording.stepping import Step
from tracetui.text import visible
from tracetui.ui.debugger_screen.diff_opening import diff_screen
from tracetui.ui.debugger_screen.remembering import RememberingScreen
from tracetui.ui.dialogs.lens import LensRead, LensScreen, read_lens
from tracetui.ui.dialogs.rope import RopeRead, RopeScreen, read_rope
from tracetui.ui.foreign import notify
from tracetui.ui.keys.commands import COMMANDS, bindings
from tracetui.ui.messages import (
    Jump,
    JumpToModule,
    Said,
    TokenChosen,
    Trouble,
)
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.experts.pane import ExpertsPane
from tracetui.ui.panes.log.pane import LogPane
from tracetui.ui.panes.logits.pane import LogitsPane
from tracetui.ui.panes.tensor.pane import TensorPane
from tracetui.ui.reader import read_in_background

if TYPE_CHECKING:
    from tracetui.ui.dialogs.open import Recording

_RESTING = frozenset(command.action.partition("(")[0] for command in COMMANDS)
"""Actions whose keys are text while a line is typed."""

_COPIED: Mapping[str, type[TensorPane | AttentionPane | ExpertsPane | LogitsPane]] = {
    "attention": AttentionPane,
    "experts": ExpertsPane,
    "logits": LogitsPane,
}


class DebuggerScreen(RememberingScreen):
    """Every command is an action here; the rules of stepping are the driver's."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings()]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys rest while a line is typed."""
        return not (self.typing and action in _RESTING)

    @on(Jump)
    def _jump(self, message: Jump) -> None:
        self._refresh(self._driver.jump(message.index))

    @on(JumpToModule)
    def _jump_to_module(self, message: JumpToModule) -> None:
        site = message.path or "logits"
        record = self.state.trace.find(f"{site}{when(self.state.record.pass_)}") or self.state.trace.find(site)
        if record is not None and record.index < self.state.frontier:
            self._refresh(self._driver.jump(record.index))
        else:
            self._refresh(
                f"{message.path or 'the model'} has no record {'yet' if self.state.under_way else 'of its own'}"
            )

    @on(TokenChosen)
    def _choose_token(self, message: TokenChosen) -> None:
        self._set_token(message.position - self.state.token, message.origin)

    def _set_token(self, by: int, origin: str = "") -> None:
        self._driver.state = token_moved(self.state, by, origin)
        self._refresh()

    def action_step(self, step: str) -> None:
        if Step(step) is Step.LAYER and self._other_block(1):
            return
        self._refresh(self._driver.step(Step(step)))

    def _other_block(self, by: int) -> bool:
        """With the experts in front, to the next layer's choice or the one before, where it is recorded."""
        index = self.query_one(ExpertsPane).neighbour(by) if self.front == "experts" else None
        if index is not None:
            self._refresh(self._driver.jump(index))
        return index is not None

    def action_back(self) -> None:
        self._refresh(self._driver.back())

    def action_layer_back(self) -> None:
        if self._other_block(-1):
            return
        self._refresh(self._driver.layer_back())

    def action_pass_back(self) -> None:
        self._refresh(self._driver.pass_back())

    def action_generate(self) -> None:
        from tracetui.ui.dialogs.generate import GenerateScreen

        if self._offer.recording:
            self._refresh(f"this is a recording: {self._offer.recording}")
        elif remark := self._driver.keeps_from_going_on():
            self._refresh(remark)
        else:
            self.app.push_screen(GenerateScreen(self._asked_for), self._go_on)

    def _go_on(self, count: int | None) -> None:
        if count is not None:
            self._asked_for = count
            self._refresh(self._driver.generate(count))

    def action_first(self) -> None:
        self._refresh(self._driver.first())

    def action_last(self) -> None:
        self._refresh(self._driver.last())

    def action_pause(self) -> None:
        self._refresh(self._driver.pause())

    def action_cancel(self) -> None:
        """Esc gives a maximised pane's room back, or cancels what runs; a model that waits is left waiting."""
        if self.has_class("-maximised"):
            self.action_maximise()
        elif self.state.running:
            self.cancel_run()
            self._refresh()

    def action_head(self, by: int) -> None:
        if self.front == "experts":
            self._refresh(self.query_one(ExpertsPane).next_expert(by))
            return
        heads = self.query_one(AttentionPane).heads or query_heads(self.state.trace.run.config)
        if not heads:
            self._refresh("there are no attention heads here")
            return
        head = max(0, min(heads - 1, self.state.head + by))
        self._driver.state = replace(self.state, head=head)
        bare = self.front == "tensor" and not plane_of(self.state.record, self.state.trace.run.config, head, 0).note
        self._refresh(f"head {head} of 0–{heads - 1}{'; this tensor has no heads' if bare else ''}")

    def action_prompt(self) -> None:
        self._driver.drop_waiting()
        if self._offer.recording:
            self._refresh(f"this is a recording: {self._offer.recording}")
            return
        self._refresh()
        super().action_prompt()

    def action_batch(self, by: int) -> None:
        rows = len(self.state.trace.tokens)
        self._driver.state = row_moved(self.state, by)
        self._refresh("" if rows > 1 else "there is one prompt; give several with -p again, --batch or --tokens")

    def action_token(self, by: int) -> None:
        self._set_token(by)

    def action_rope(self) -> None:
        read_in_background(self, "rope", partial(read_rope, self.state), self._show_rope)

    def _show_rope(self, rope: RopeRead | str) -> None:
        if isinstance(rope, str):
            self.post_message(Said(rope))
        elif self.is_current:
            self.app.push_screen(RopeScreen(rope))

    def action_source(self) -> None:
        self._refresh(self._driver.source())

    def show_source(self, source: Sourced) -> None:
        from tracetui.ui.dialogs.source import SourceScreen

        if source.error:
            self._refresh(source.error)
        elif self.is_current:
            self.app.push_screen(SourceScreen(source))

    def action_lens(self) -> None:
        read_in_background(self, "lens", partial(read_lens, self.state), self._show_lens)

    def _show_lens(self, lens: LensRead | str) -> None:
        if isinstance(lens, str):
            self.post_message(Said(lens))
        elif self.is_current:
            self.app.push_screen(LensScreen(lens))

    def action_check_heads(self) -> None:
        if not self.query_one(AttentionPane).check_heads():
            self._refresh("there is no attention to check here")

    def action_scores(self, kind: Shown | None = None) -> None:
        pane = self.query_one(AttentionPane)
        if kind is None:
            pane.next_kind()
        else:
            pane.kind = kind

    def action_help(self) -> None:
        from tracetui.ui.dialogs.help import HelpScreen

        self.app.push_screen(HelpScreen(self._keymap_shown))

    def action_config(self) -> None:
        """The configuration explained, at the fields behind the shape of the tensor that is looked at."""
        from tracetui.ui.dialogs.config import ConfigScreen

        if (self._explained is None or self._explained.report is None) and not self._driver.explain():
            self._refresh("the configuration can be explained once the model is prepared")
            return
        self.app.push_screen(ConfigScreen(weights_place(self.state.record), self._explained))

    def action_theme(self) -> None:
        from tracetui.ui.dialogs.theme_picker import ThemeScreen

        self.app.push_screen(ThemeScreen())

    def action_jump(self) -> None:
        from tracetui.ui.dialogs.jump import JumpScreen

        if not self.state.frontier:
            self._refresh(nothing_yet(self.state))
            return
        self.app.push_screen(JumpScreen(self.state.trace.records, self.state.frontier), self._jumped)

    def action_copy(self) -> None:
        """The line or cell of the pane in front, in words."""
        pane = self.query_one(_COPIED.get(self.front, TensorPane))
        text = pane.copied() if self.state.cursor >= 0 else ""
        if not text:
            self._refresh("there is nothing to copy yet")
            return
        self.app.copy_to_clipboard(visible(text, 4000))
        notify(self.app, f"copied: {text}")

    def action_export(self) -> None:
        from tracetui.ui.dialogs.export import ExportScreen

        if not self.state.frontier:
            self._refresh(nothing_yet(self.state))
            return
        self.app.push_screen(ExportScreen(self._offer.file_name, self.state.trace), self._exported)

    def action_diff(self) -> None:
        from tracetui.ui.dialogs.compare import CompareScreen

        if not self.state.frontier:
            self._refresh(nothing_yet(self.state))
            return
        self.app.push_screen(CompareScreen(), self._compare)

    def _compare(self, other: Recording | None) -> None:
        """What is recorded so far beside another recording, the reference."""
        if other is not None:
            names = (self._offer.title, str(other.path))
            self.app.push_screen(diff_screen(self.state.trace, other.trace, names, self._keymap_shown))

    def action_effects(self) -> None:
        """The run so far beside the last one of the same prompt without edits, the reference."""
        baseline = self.baseline.trace
        if not self.state.frontier:
            self._refresh(nothing_yet(self.state))
        elif self._offer.recording or not len(baseline):
            self._refresh(self._keeps_from_editing() if self._offer.recording else self.baseline.why)
        else:
            names = (f"this run{edits_said(self.state.trace)}", f"the run before{edits_said(baseline)}")
            self.app.push_screen(diff_screen(self.state.trace, baseline, names, self._keymap_shown, overview=True))

    def _exported(self, answer: Said | Trouble | None) -> None:
        if answer is not None:
            self.post_message(answer)

    @on(Said)
    def _say(self, message: Said) -> None:
        self.query_one(LogPane).add(message.text)
        notify(self.app, message.text)
