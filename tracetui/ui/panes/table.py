"""The panes there are, in the order of their keys: to add one, write its widget and name it here."""

from __future__ import annotations

from textual.widget import Widget

from tracetui.debugger.start_page import StartPage
from tracetui.ui.panes.log.pane import LogPane
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.pane import Pane


def _tensor(page: StartPage) -> Widget:
    from tracetui.ui.panes.tensor.pane import TensorPane

    return TensorPane(page)


def _attention(page: StartPage) -> Widget:
    from tracetui.ui.panes.attention.pane import AttentionPane

    return AttentionPane()


def _experts(page: StartPage) -> Widget:
    from tracetui.ui.panes.experts.pane import ExpertsPane

    return ExpertsPane()


def _logits(page: StartPage) -> Widget:
    from tracetui.ui.panes.logits.pane import LogitsPane

    return LogitsPane()


MODULES = Pane("modules", "1", "Modules", "the module tree", lambda page: ModuleList(), ("ModuleList",))
"""It stands at the left and never behind another."""
PANES = (
    Pane("tensor", "2", "Tensor", "the tensor", _tensor, ("ValueGrid", "OutlierMap"), "Tens"),
    Pane("attention", "3", "Attention", "attention", _attention, ("Heatmap",), "Attn"),
    Pane("experts", "4", "Experts", "expert routing", _experts, ("LoadMap",), "Exp"),
    Pane("logits", "5", "Logits", "the next tokens", _logits, ("LogitsPane",), "Logit"),
    Pane("log", "6", "Log", "the log", lambda page: LogPane(), ("LogPane",)),
)
"""One of them is in front. Those whose modules take long are imported when they are made: after the first paint."""
