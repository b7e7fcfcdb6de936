"""`tracetui.debug(model, …)`: a visit in the middle of somebody's program, on a real terminal."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

import tracetui
from tests.cli.terminal import Terminal

MODELS = """
import contextvars, os, signal, sys
import torch
from torch import nn
import tracetui

marked = contextvars.ContextVar("marked", default="nothing")

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, *, scale):
        print("inner is", marked.get(), x.requires_grad, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"))
        os.write(1, b"past Python to stdout")
        os.write(2, b"past Python to stderr")
        return self.linear(x) * scale

class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(4, 4), Inner(), nn.Linear(4, 2)

    def forward(self, x, *, scale=1.0):
        x = self.inner(self.first(x), scale=scale)
        return {"made": self.last(x.reshape(-1, 4)), "note": "mine"}

def hooks(model):
    parts = list(model.modules())
    left = sum(part._compiled_call_impl is not None for part in parts)
    return left + sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in parts)

torch.manual_seed(0)
model, x = Toy().train(), torch.randn(3, 4)
"""
TWICE = """
marked.set("marked")
threads = torch.get_num_threads()
mine = lambda *_: None
signal.signal(signal.SIGTERM, mine)
plain = model(x, scale=2.0)["made"]
print("BEFORE")
with torch.autocast("cpu", torch.bfloat16, enabled=False):
    found = tracetui.debug(model, x, scale=2.0, stops="inner.linear", watches="first.norm")
print("AFTER", found.output["note"], torch.equal(found.output["made"], plain), found.output["made"].requires_grad)
found.output["made"].sum().backward()
assert model.first.weight.grad is not None
assert model.training and hooks(model) == 0 and torch.get_num_threads() == threads
assert signal.getsignal(signal.SIGTERM) is mine
assert [record.key for record in found.trace.records][-1] == "output"
input("go on? ")
with torch.no_grad():
    again = tracetui.debug(model, x)
print("THEN", len(again.trace), again.error, hooks(model))
try:
    again.output
except tracetui.RunError as error:
    print(error)
"""
EDITED = """
found = tracetui.debug(model, x, edits="inner: zero")
print("EDITED", bool((found.output["made"] == model.last.bias).all()), found.trace.run.recipe["edits"])
"""
FAILING = """
model.last = nn.Linear(5, 2)
found = tracetui.debug(model, x)
print("ERROR", type(found.error).__name__, found.trace.records[-1].key, hooks(model))
try:
    found.output
except RuntimeError as error:
    print("RAISED", error is found.error)
"""
INTERRUPTED = """
try:
    tracetui.debug(model, x)
except KeyboardInterrupt:
    print("INTERRUPTED", hooks(model))
"""
LLAMA = """
from transformers import LlamaConfig, LlamaForCausalLM
config = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
model, ids = LlamaForCausalLM(config).eval(), torch.tensor([[1, 5, 9]])
attention = model.config._attn_implementation
with torch.inference_mode():
    found = tracetui.debug(model, input_ids=ids, tokenizer=lambda id: f"word{id} ")
print("LLAMA", found.output.logits.shape, model.config._attn_implementation == attention, hooks(model))
print("TYPED", [token.id for token in found.trace.tokens[0]])
"""


def program(folder: Path, rest: str, columns: int = 120) -> Terminal:
    (folder / "mine.py").write_text(MODELS + rest)
    return Terminal(cwd=folder, under=(sys.executable, "mine.py"), columns=columns, rows=40, warm=True)


def test_a_visit_and_another_leave_the_program_as_it_was(tmp_path: Path) -> None:
    with program(tmp_path, TWICE) as terminal:
        terminal.until("tracetui  Toy", "step 0 · 1 recorded", "first", "Enter runs the inputs given with the model")
        terminal.send("c")
        terminal.until("● inner.linear", "step 1")
        terminal.send("6")
        terminal.until("inner is marked True True False")
        assert "past Python" not in terminal.text
        terminal.send("c")
        terminal.until("finished", "5 recorded")
        terminal.send("q")
        terminal.until("AFTER mine True True", "go on?")
        terminal.assert_restored()
        terminal.send("\n")
        terminal.until("tracetui  Toy", "step 0 · 1 recorded")
        terminal.send("q")
        terminal.until("THEN 1 None 0", "left before its end")
        assert terminal.ended() == 0
        terminal.assert_restored()


def test_edits_change_what_comes_back(tmp_path: Path) -> None:
    with program(tmp_path, EDITED) as terminal:
        terminal.until("step 0 · 1 recorded")
        terminal.send("c")
        terminal.until("finished")
        terminal.send("q")
        terminal.until("EDITED True ['inner: zero']")
        assert terminal.ended() == 0


def test_what_the_model_raises_is_shown_and_handed_over(tmp_path: Path) -> None:
    with program(tmp_path, FAILING) as terminal:
        terminal.until("step 0 · 1 recorded")
        terminal.send("c")
        terminal.until("✗ RuntimeError: mat1 and mat2 shapes", "last:input")
        terminal.send("q")
        terminal.until("ERROR RuntimeError last:input 0", "RAISED True")
        assert terminal.ended() == 0
        terminal.assert_restored()


def test_ctrl_c_cancels_and_then_reaches_the_program(tmp_path: Path) -> None:
    with program(tmp_path, INTERRUPTED) as terminal:
        terminal.until("step 0 · 1 recorded")
        terminal.send("\x03")
        terminal.until("cancelled")
        terminal.send("\x03")
        terminal.until("INTERRUPTED 0")
        assert terminal.ended() == 0
        terminal.assert_restored()


def test_a_model_of_transformers_with_texts_and_a_prompt_of_ids(tmp_path: Path) -> None:
    with program(tmp_path, LLAMA) as terminal:
        terminal.until("step 0 · 1 recorded", "word1", "word5", "LlamaForCausalLM")
        terminal.send("c")
        terminal.until("finished")
        terminal.send("r")
        terminal.until("Enter go")
        terminal.send("7,8,9,10\r")
        terminal.until("word7", "1 recorded")
        terminal.send("c")
        terminal.until("finished")
        terminal.send("q")
        terminal.until("LLAMA torch.Size([1, 4, 64]) True 0", "TYPED [7, 8, 9, 10]")
        assert terminal.ended() == 0


def test_where_there_is_no_screen_it_says_what_works() -> None:
    model, x = nn.Linear(2, 2), torch.ones(1, 2)
    with pytest.raises(tracetui.InputError, match=r"needs a terminal; tracetui\.trace\(model"):
        tracetui.debug(model, x)

    async def inside() -> None:
        tracetui.debug(model, x)

    with pytest.raises(tracetui.InputError, match="inside an event loop"):
        asyncio.run(inside())
    found: list[BaseException] = []

    def elsewhere() -> None:
        try:
            tracetui.debug(model, x)
        except tracetui.InputError as error:
            found.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "main thread" in str(found[0])


def test_importing_it_loads_neither_torch_nor_textual() -> None:
    code = "import sys, tracetui; tracetui.debug; sys.exit('torch' in sys.modules or 'textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
