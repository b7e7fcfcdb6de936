"""The panes there are, in the order of their keys: to add one, write its widget and name it here."""

from __future__ import annotations

from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.experts.pane import ExpertsPane, LoadMap
from tracetui.ui.panes.log.pane import LogPane
from tracetui.ui.panes.logits.pane import LogitsPane
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.pane import Pane
from tracetui.ui.panes.tensor.outlier_map import OutlierMap
from tracetui.ui.panes.tensor.pane import TensorPane
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.widgets.heatmap import Heatmap

MODULES = Pane("modules", "1", "Modules", "the module tree", lambda page: ModuleList(), (ModuleList,))
"""It stands at the left and never behind another."""
PANES = (
    Pane("tensor", "2", "Tensor", "the tensor", TensorPane, (ValueGrid, OutlierMap), "Tens"),
    Pane("attention", "3", "Attention", "attention", lambda page: AttentionPane(), (Heatmap,), "Attn"),
    Pane("experts", "4", "Experts", "expert routing", lambda page: ExpertsPane(), (LoadMap,), "Exp"),
    Pane("logits", "5", "Logits", "the next tokens", lambda page: LogitsPane(), (LogitsPane,), "Logit"),
    Pane("log", "6", "Log", "the log", lambda page: LogPane(), (LogPane,)),
)
"""One of them is in front."""
