#!/usr/bin/env bash
# Two models made from one configuration object run the same attention kernel: the one that was asked for last.
#
# transformers 5.23.0, torch 2.13.0. A model keeps the configuration object that it is made from, and the kernel is
# written into it. Make one model with sdpa and one with eager attention from the same object, or call
# set_attn_implementation on either, and both are eager from then on: the two agree to the bit, and what was to be
# compared was never run. Give each a configuration of its own (copy.deepcopy). use_cache, output_attentions and all
# other fields are shared in the same way.
#
# Seen (CPU, float32):
#   one configuration:       asked for sdpa, eager; run eager, eager; logits equal to the bit: True
#   a configuration of each: asked for sdpa, eager; run sdpa, eager; logits equal to the bit: False
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import copy

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

sizes = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
tokens = torch.tensor([[5, 6, 7, 8]])


def kernels(separate):
    """What a model made with sdpa runs, and one made with eager attention after it; whether the logits are equal."""
    config = LlamaConfig(**sizes)
    models = []
    for kernel in ("sdpa", "eager"):
        torch.manual_seed(0)
        own = copy.deepcopy(config) if separate else config
        models.append(AutoModelForCausalLM.from_config(own, attn_implementation=kernel).eval())
    with torch.no_grad():
        # Only eager attention can return what it attends to.
        outputs = [model(tokens, output_attentions=True) for model in models]
    ran = ["eager" if output.attentions else "sdpa" for output in outputs]
    return ran, torch.equal(outputs[0].logits, outputs[1].logits)


shared, alike = kernels(separate=False)
separate, bits = kernels(separate=True)
print(f"one configuration:       asked for sdpa, eager; run {', '.join(shared)}; logits equal to the bit: {alike}")
print(f"a configuration of each: asked for sdpa, eager; run {', '.join(separate)}; logits equal to the bit: {bits}")
if shared != ["eager", "eager"] or not alike or separate != ["sdpa", "eager"]:
    raise SystemExit("this has changed: each model keeps the kernel that it was made with")
PYTHON
