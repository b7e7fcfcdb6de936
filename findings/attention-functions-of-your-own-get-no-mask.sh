#!/usr/bin/env bash
# An attention function registered under a new name is called without a mask, even if it only hands on to the old one.
#
# transformers 5.23.0, torch 2.13.0. AttentionInterface.register("watched", …) looks like the way to watch the kernel:
# keep the queries and keys, then call what runs otherwise. But which mask is made follows from the name, and a name
# without a mask function gets None. Around sdpa that is right until a row is padded; around eager attention no token is
# hidden, not even those to come. Nothing is logged. AttentionMaskInterface.register has to be told the same name, with
# sdpa_mask or eager_mask.
#
# Seen (CPU, float32):
#   sdpa under a new name:                logits 0 apart, padded 0.15
#   sdpa under a new name, its mask too:  logits 0 apart, padded 0
#   eager under a new name:               logits 0.06 apart, padded 0.16
#   eager under a new name, its mask too: logits 0 apart, padded 0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import AttentionInterface, AttentionMaskInterface, LlamaConfig, LlamaForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask
from transformers.models.llama.modeling_llama import eager_attention_forward

tokens, padded = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[0, 0, 1, 1]])


def llama(kernel):
    sizes = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    torch.manual_seed(0)
    return LlamaForCausalLM._from_config(LlamaConfig(**sizes), attn_implementation=kernel).eval()


def apart(kernel, own):
    """How far the logits of the prompt's last two tokens are apart: alone, and behind two tokens of padding."""
    one, other = llama(kernel), llama(own)
    with torch.no_grad():
        pairs = [(one(tokens, attention_mask=mask), other(tokens, attention_mask=mask)) for mask in (None, padded)]
    return [(a.logits - b.logits)[:, 2:].abs().max().item() for a, b in pairs]


results = {}
for name, kernel, mask in (("sdpa", sdpa_attention_forward, sdpa_mask), ("eager", eager_attention_forward, eager_mask)):
    watched = f"watched_{name}"
    AttentionInterface.register(watched, lambda *args, kernel=kernel, **kwargs: kernel(*args, **kwargs))
    for told in (False, True):
        if told:
            AttentionMaskInterface.register(watched, mask)
        results[name, told] = apart(name, watched)
        heading = f"{name} under a new name{', its mask too' if told else ''}:"
        print(f"{heading:37} logits {results[name, told][0]:.2g} apart, padded {results[name, told][1]:.2g}")
if max(results["sdpa", True] + results["eager", True]) > 1e-5:
    raise SystemExit("this has changed: with its mask a function under a new name computes otherwise")
if results["sdpa", False][0] > 1e-5 or min(results["sdpa", False][1], *results["eager", False]) < 1e-3:
    raise SystemExit("this has changed: a function under a new name is given the mask of what it hands on to")
PYTHON
