"""What the tensor pane shows before there is a tensor: what will be run, and what it will take."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from tracetui.debugger.session import NO_PREVIEW, Module
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import NO_PLAN, Phase, ScreenState
from tracetui.recording.trace import is_reassuring
from tracetui.text import size, visible
from tracetui.ui.panes.tensor.prompt_preview import preview_rows, preview_warnings
from tracetui.ui.widgets.state_text import StateText
from tracetui.views.run.plan import peak_of

_ROOMY = 60


class Welcome(StateText):
    """Name and facts of the model, the memory plan once it is known, the notes, and what to press."""

    def __init__(self, offer: StartPage) -> None:
        super().__init__(id="welcome")
        self._offer = offer

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        """Behind the first record it is hidden."""
        if state.cursor < 0:
            super().watch_state(old, state)

    def content(self) -> Content:
        offer, state = self._offer, self.state
        preview = _preview(state)
        parts = [
            Content.styled(visible(offer.description or offer.title), "bold $foreground"),
            Content.styled(visible(" · ".join(part for part in (offer.dtype, offer.weights) if part)), "$quiet"),
            *([Content.styled(visible(offer.recalled.told), "$quiet")] if offer.recalled.told else []),
            Content(""),
            *preview,
            *_table((*offer.facts, *_totals(state.outline))),
            *_memory(state, detailed=self.size.width >= _ROOMY),
            *(Content.styled(visible(note), _note_ink(note)) for note in state.notes or offer.notes),
            *([] if preview else [Content(""), _call(state, bool(offer.recording), offer.begins)]),
        ]
        return Content("\n").join(parts)


class WelcomePane(Vertical):
    """What stands where the tensor pane will be, until the screen has been painted."""

    def __init__(self, pane: str, page: StartPage) -> None:
        """pane: the id of the one that it stands for."""
        super().__init__(id=pane, classes="pane -empty")
        self._page = page

    def compose(self) -> ComposeResult:
        yield Welcome(self._page)


def _note_ink(note: str) -> str:
    """That all is well is said quietly."""
    return "$quiet" if is_reassuring(note) else "$waiting"


def _table(facts: tuple[tuple[str, str], ...]) -> list[Content]:
    if not facts:
        return []
    width = max(len(name) for name, _ in facts)
    rows = [Content.assemble((f"{visible(name):<{width}}  ", "$quiet"), visible(value)) for name, value in facts]
    return [*rows, Content("")]


def _totals(outline: Module) -> tuple[tuple[str, str], ...]:
    """Parameters of the whole model, run or not."""
    if not outline.parameters:
        return ()
    active = (("of them active", f"{outline.active:,} per token"),) if outline.active is not None else ()
    return (("parameters", f"{outline.parameters:,}"), *active)


def _memory(state: ScreenState, detailed: bool) -> list[Content]:
    plan = state.plan
    if plan is NO_PLAN or not plan.planned:
        return []
    lines = [Content.assemble(("memory: ", "$quiet"), f"{peak_of(plan.peak, plan.available)} available")]
    if (device := plan.on_device) is not None:
        told = peak_of(device.peak, device.available + device.held)
        lines.append(Content(f"        {device.name}: {told} available"))
    if detailed:
        needs = f"weights {size(plan.weights)}, records {size(plan.activations)}, work {size(plan.at_work)}"
        lines.append(Content.styled(f"        {needs}", "$quiet"))
    return [*lines, Content("")]


def _preview(state: ScreenState) -> list[Content]:
    """What Enter would run, where there is more to it than the prompt line shows."""
    preview = state.preview
    is_told = state.phase is Phase.FAILED and preview.problem == state.error
    warnings = preview_warnings(preview) if preview is not NO_PREVIEW and not is_told else []
    if not (warnings or (preview.prompts.chat and preview.rows)):
        return []
    parts = [*warnings, _call(state, recorded=False), Content(""), *preview_rows(preview)]
    return [*parts, Content("")] if preview.rows else parts


def _call(state: ScreenState, recorded: bool, begins: bool = False) -> Content:
    if state.phase is Phase.FAILED:
        log = f"\nThe log is in {visible(state.log)}" if state.log else ""
        return Content.styled(f"{visible(state.error, 2000)}{log}", "$error")
    if recorded:
        return Content.styled(
            "opening…" if state.phase is Phase.PREPARING else "The recording holds no records.", "$quiet"
        )
    if state.running:
        return Content.styled("running to the first record…", "$running")
    if begins and state.phase is Phase.PREPARING:
        return Content.styled("The prompt below runs as soon as the model is prepared.", "$quiet")
    waits = "" if state.phase is not Phase.PREPARING else ", as soon as the model is prepared"
    return Content.assemble(("Enter", "bold $accent"), f" runs the prompt below{waits}")
