#!/usr/bin/env bash
# Falcon's logits change when attentions are asked for, and the attentions returned look ahead.
#
# transformers 5.23.0, torch 2.13.0. Under sdpa, the default, Falcon leaves the causal mask out and lets the kernel hide
# what comes later. With output_attentions=True the layer computes step by step instead, with no mask at all: each token
# sees all others, and what is returned are not the attentions of the model that runs otherwise. No warning is given.
# Falcon has to be made with eager attention to be asked; set_attn_implementation("eager") later on only logs that it
# can't be done.
#
# Seen (CPU, float32):
#   sdpa:  logits up to 0.53 change by 0.12 when attentions are asked for
#          the first token attends to the four by 0.47 0.18 0.18 0.18
#   eager: asked for attentions, logits are 6e-08 from those of sdpa
#          the first token attends to the four by 1.00 0.00 0.00 0.00
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import FalconConfig, FalconForCausalLM


def falcon(kernel):
    # A configuration of its own: two models of one configuration object share its choice of kernel.
    config = FalconConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    return FalconForCausalLM._from_config(config, attn_implementation=kernel).eval()


torch.manual_seed(0)
model, eager = falcon("sdpa"), falcon("eager")
eager.load_state_dict(model.state_dict())
tokens = torch.tensor([[5, 6, 7, 8]])
with torch.no_grad():
    plain, asked = model(tokens).logits, model(tokens, output_attentions=True)
    right = eager(tokens, output_attentions=True)
row, expected = asked.attentions[0][0, 0, 0], right.attentions[0][0, 0, 0]  # [S]
changed, rounding = (plain - asked.logits).abs().max().item(), (plain - right.logits).abs().max().item()
print(f"sdpa:  logits up to {plain.abs().max():.2f} change by {changed:.2g} when attentions are asked for")
print("       the first token attends to the four by", *(f"{share:.2f}" for share in row))
print(f"eager: asked for attentions, logits are {rounding:.1g} from those of sdpa")
print("       the first token attends to the four by", *(f"{share:.2f}" for share in expected))
if changed < 1e-3 or not row[1:].any() or rounding > 1e-5:
    raise SystemExit("this has changed: asked for attentions, Falcon under sdpa computes what it computes otherwise")
PYTHON
