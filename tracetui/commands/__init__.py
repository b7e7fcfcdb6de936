"""What each command does, over the layers below; nothing here imports torch or textual before it must."""

from tracetui.commands.about import config, locate, models, outline
from tracetui.commands.screen import open_trace, run
from tracetui.commands.traces import diff, export, info, trace

__all__ = ["config", "diff", "export", "info", "locate", "models", "open_trace", "outline", "run", "trace"]
