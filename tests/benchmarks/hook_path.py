"""How long the way is from a module's return to its record: Python calls, and modules of tracetui that they are in.

Run it with `python -m tests.benchmarks hook_path`; `-v` also prints each call.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import tracetui
from tests.benchmarks.results import Results
from tracetui.expr.stop import DEFAULT_STOPS
from tracetui.tracer.call import record_module
from tracetui.tracer.hooks.recording_observer import RecordingObserver

MOST_CALLS, MOST_MODULES = 28, 13
"""With the making of the record itself, which is far quicker than what dataclasses make."""
_HOUSE = str(Path(tracetui.__file__).parent)
_SITE = "model.layers.1.mlp.up_proj"
Call = tuple[str, str]
"""A file within tracetui, and the name of a function in it."""


class _Listener:
    """Hears the calls that are made between a module's return and that of its call."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._module: object = None
        self._forward: FrameType | None = None
        self._listening = False

    def listen_to(self, module: object) -> None:
        self._module = module
        sys.setprofile(self._hear)

    def _hear(self, frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if event == "return":
            if code.co_name == "forward" and frame.f_locals.get("self") is self._module:
                self._listening = True
            elif code.co_name == "_wrapped_call_impl" and frame.f_locals.get("self") is self._module:
                self._listening = False
        elif event == "call" and self._listening and code.co_filename.startswith(_HOUSE):
            self.calls.append((str(Path(code.co_filename).relative_to(_HOUSE)), code.co_name))


def hook_calls(later: bool) -> list[Call]:
    """The calls of tracetui's own functions after a projection has run, until it is recorded; default stops on.

    later: whether it may be described later.
    """
    torch.manual_seed(0)
    sizes: Mapping[str, int] = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 99}
    config = LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=2, attn_implementation="sdpa")
    model = LlamaForCausalLM(config).eval()
    listener = _Listener()
    listener.listen_to(model.get_submodule(_SITE))
    kept = RecordingObserver.may_defer
    try:
        with patch.object(RecordingObserver, "may_defer", lambda *about: later and kept(*about)):
            record_module(model, (), {"input_ids": torch.arange(4)[None], "use_cache": False}, stops=DEFAULT_STOPS)
    finally:
        sys.setprofile(None)
    return listener.calls


def main(results: Results) -> None:
    results.begin("hook_path", f"from {_SITE}'s return to its record")
    for name, later in (("described later", True), ("described at once", False)):
        calls = hook_calls(later)
        if "-v" in sys.argv:
            print("\n".join(f"    {file}: {function}" for file, function in calls))
        files = {file for file, _ in calls}
        results.add(name, [len(calls)], unit="calls", target=MOST_CALLS)
        results.add(name, [len(files)], unit="modules", target=MOST_MODULES)


if __name__ == "__main__":
    main(Results())
