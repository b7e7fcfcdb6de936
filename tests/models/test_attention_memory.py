"""What attention takes while it is computed, against what torch takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.warm import WarmProcess
from tracetui.models.memory.attention import attention_bytes

HEADS, TOKENS, NOPE, ROTARY = 16, 1024, 64, 32
_TAKEN = """
import sys, torch
from torch.nn.functional import scaled_dot_product_attention
heads, tokens, key, value, dtype = (*map(int, sys.argv[1:5]), getattr(torch, sys.argv[5]))
q, k, v = (torch.ones(1, heads, tokens, width, dtype=dtype) for width in (key, key, value))
def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))
scaled_dot_product_attention(q[:, :1, :2], k[:, :1, :2], v[:, :1, :2], is_causal=True)
open("/proc/self/clear_refs", "w").write("5")
before = kib("VmRSS")
with torch.no_grad():
    scaled_dot_product_attention(q, k, v, is_causal=True)
print((kib("VmHWM") - before) * 1024)
"""


def latent_model(value: int) -> torch.nn.Module:
    config = AutoConfig.for_model(
        "deepseek_v3", hidden_size=64, num_hidden_layers=1, num_attention_heads=HEADS, num_key_value_heads=HEADS,
        intermediate_size=64, first_k_dense_replace=1, vocab_size=64, q_lora_rank=16, kv_lora_rank=16,
        qk_nope_head_dim=NOPE, qk_rope_head_dim=ROTARY, v_head_dim=value,
    )  # fmt: skip
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)  # type: ignore[no-any-return]


def taken(value: int, dtype: str) -> int:
    """Bytes beyond its inputs that torch's sdpa takes at its peak, in a process that has computed nothing else."""
    sizes = map(str, (HEADS, TOKENS, NOPE + ROTARY, value))
    child = WarmProcess.with_pipes(["-c", _TAKEN, *sizes, dtype], cwd=Path.cwd(), env=os.environ)
    out, err = child.communicate(60)
    assert child.wait() == 0, err
    return int(out)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of the peak")
@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("bfloat16", 2)])
def test_heads_whose_values_are_narrower_take_all_scores(dtype: str, itemsize: int) -> None:
    planned = attention_bytes(latent_model(48), itemsize, TOKENS, absorb=False, steps=False)
    assert planned == pytest.approx(taken(48, dtype), rel=0.12)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count of the peak")
def test_heads_of_one_width_take_no_scores() -> None:
    assert attention_bytes(latent_model(NOPE + ROTARY), 4, TOKENS, absorb=False, steps=False) == 0
    assert taken(NOPE + ROTARY, "float32") < HEADS * TOKENS * TOKENS * 4 / 2
