"""What the tensor pane shows before there is a tensor: what will be run, and what it will take."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tracetui.session import NO_PREVIEW, Module, Preview, PromptRow
from tracetui.text import size, visible
from tracetui.ui.labels import label_of, row_name
from tracetui.ui.offer import Offer
from tracetui.ui.state import NO_PLAN, Phase, State
from tracetui.views.prompt_lines import typed_line

_ROOMY = 60
_ROWS, _CHARACTERS, _TOKENS = 4, 400, 60
"""Of what would be run, as much as is shown."""


class Welcome(Widget):
    """Name and facts of the model, the memory plan once it is known, the notes, and what to press."""

    state: reactive[State] = reactive(State())

    def __init__(self, offer: Offer) -> None:
        super().__init__(id="welcome")
        self._offer = offer

    def render(self) -> Content:
        offer, state = self._offer, self.state
        parts = [
            Content.styled(visible(offer.description or offer.title), "bold $foreground"),
            Content.styled(visible(" · ".join(part for part in (offer.dtype, offer.weights) if part)), "$quiet"),
            Content(""),
            *_table((*offer.facts, *_totals(state.outline))),
            *_memory(state, detailed=self.size.width >= _ROOMY),
            *_preview(state, offer.prompts.chat),
            *(Content.styled(visible(note), "$waiting") for note in state.notes or offer.notes),
            Content(""),
            _call(state),
        ]
        return Content("\n").join(parts)


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


def _memory(state: State, detailed: bool) -> list[Content]:
    plan = state.plan
    if plan is NO_PLAN:
        return []
    told = [
        Content.assemble(("memory: ", "$quiet"), f"peak about {size(plan.peak)} of {size(plan.available)} available")
    ]
    if detailed:
        needs = f"weights {size(plan.weights)}, records {size(plan.activations)}, work {size(plan.working)}"
        told.append(Content.styled(f"        {needs}", "$quiet"))
    return [*told, Content("")]


def _preview(state: State, chat: bool) -> list[Content]:
    """What Enter would run: the rendered chats with their tokens, or the special tokens that were typed."""
    preview = state.preview
    if preview is NO_PREVIEW or not (chat or preview.problem or any(row.typed for row in preview.rows)):
        return []
    if preview.problem:
        return [Content.styled(visible(preview.problem, 2000), "$error"), Content("")]
    told: list[Content] = []
    for number, row in enumerate(preview.rows[:_ROWS]):
        told += _row(number, row, preview, chat)
    if len(preview.rows) > _ROWS:
        told.append(Content.styled(f"and {len(preview.rows) - _ROWS} more", "$quiet"))
    return [*told, Content("")]


def _row(number: int, row: PromptRow, preview: Preview, chat: bool) -> list[Content]:
    name = row_name(number, len(preview.rows))
    head = f"{'chat' if chat else 'prompt'}{name and f', {name}'}, {len(row.tokens)} tokens: "
    told = [Content.assemble((head, "$quiet"), visible(row.text, _CHARACTERS))]
    parts: list[tuple[str, str]] = []
    for token in row.tokens[:_TOKENS]:
        parts.append((f"[{label_of(token)}]" if token.special else label_of(token), "$accent" if token.special else ""))
        parts.append((f" {token.id}  ", "$quiet"))
    told.append(Content.assemble(*parts, ("…" if len(row.tokens) > _TOKENS else "", "$quiet")))
    return [*told, *([Content.styled(f"! {typed_line(row.typed)}", "$waiting")] if row.typed else [])]


def _call(state: State) -> Content:
    if state.phase is Phase.FAILED:
        log = f"\nThe log is in {visible(state.log)}" if state.log else ""
        return Content.styled(f"{visible(state.error, 2000)}{log}", "$error")
    if state.running:
        return Content.styled("running to the first record…", "$running")
    waits = "" if state.phase is not Phase.PREPARING else ", as soon as the model is prepared"
    return Content.assemble(("Enter", "bold $accent"), f" runs the prompt below{waits}")
