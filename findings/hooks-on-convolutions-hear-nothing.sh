#!/usr/bin/env bash
# Mamba never calls its conv1d and dt_proj, and RecurrentGemma its conv_1d only in the prompt: hooks there miss tokens.
#
# transformers 5.23.0, torch 2.13.0. The blocks take the weights out of these modules and compute with them themselves:
# Mamba always, RecurrentGemma in every step of generate() after the first. A hook there records nothing, or the prompt
# alone; what a hook changes, or a module put in its place computes otherwise (an adapter, an observer for
# quantisation), doesn't reach the model. The output of such a convolution can be had from the block's own code alone.
#
# Seen (CPU, float32):
#   Mamba, 4 passes: in_proj 4, conv1d 0, x_proj 4, dt_proj 0, out_proj 4
#   RecurrentGemma, 4 passes: linear_x 4, conv_1d 1, linear_out 4
#   Mamba, a hook that returns 0 for conv1d: logits the same: True; its weight set to 0: 0.33 apart
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
from collections import Counter

import torch
from transformers import MambaConfig, MambaForCausalLM, RecurrentGemmaConfig, RecurrentGemmaForCausalLM

torch.manual_seed(0)
sizes = dict(vocab_size=61, hidden_size=32, num_hidden_layers=3)
mamba = MambaForCausalLM(MambaConfig(**sizes)).eval()
gemma = RecurrentGemmaForCausalLM(
    RecurrentGemmaConfig(**sizes, intermediate_size=96, num_attention_heads=4, num_key_value_heads=1, lru_width=32)
).eval()
tokens = torch.tensor([[5, 6, 7, 8]])


def heard(model, block, names):
    """How often each module of a block is called while four tokens are chosen, each in a pass."""
    calls = Counter(dict.fromkeys(names, 0))
    hooks = [
        block.get_submodule(name).register_forward_hook(lambda *_, name=name: calls.update([name])) for name in names
    ]
    model.generate(tokens, max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0)
    for hook in hooks:
        hook.remove()
    return calls


mixer = mamba.backbone.layers[0].mixer
of_mamba = heard(mamba, mixer, ("in_proj", "conv1d", "x_proj", "dt_proj", "out_proj"))
of_gemma = heard(gemma, gemma.model.layers[0].temporal_block, ("linear_x", "conv_1d", "linear_out"))
print("Mamba, 4 passes:", ", ".join(f"{name} {count}" for name, count in of_mamba.items()))
print("RecurrentGemma, 4 passes:", ", ".join(f"{name} {count}" for name, count in of_gemma.items()))
with torch.no_grad():
    before = mamba(tokens).logits
    mixer.conv1d.register_forward_hook(lambda module, inputs, output: output * 0)
    same = torch.equal(before, mamba(tokens).logits)
    mixer.conv1d.weight.zero_()
    changed = (before - mamba(tokens).logits).abs().max().item()
print(f"Mamba, a hook that returns 0 for conv1d: logits the same: {same}; its weight set to 0: {changed:.2g} apart")
if (of_mamba["in_proj"], of_mamba["conv1d"], of_mamba["dt_proj"]) != (4, 0, 0) or not same or changed == 0:
    raise SystemExit("this has changed: Mamba calls its convolution")
if (of_gemma["linear_x"], of_gemma["conv_1d"]) != (4, 1):
    raise SystemExit("this has changed: RecurrentGemma calls its convolution in every pass")
PYTHON
