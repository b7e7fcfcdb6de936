#!/usr/bin/env bash
# generate() of RecurrentGemma answers a prompt of one token out of the states that the prompt before has left.
#
# transformers 5.23.0, torch 2.13.0. RecurrentGemma keeps its convolution's states in its modules, not in the cache that
# generate() makes. Whether they begin anew is decided by the number of positions: a prompt of one token looks like a
# step of decoding and is joined to the last tokens of whatever ran before. Two tokens or more begin afresh. So does a
# plain forward, which isn't given a cache.
#
# Seen (CPU, float32):
#   one token:  logits up to 4.60 change by 0.49 once another prompt has run
#   two tokens: logits up to 3.76 change by 0
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import RecurrentGemmaConfig, RecurrentGemmaForCausalLM

torch.manual_seed(0)
sizes = dict(vocab_size=61, hidden_size=32, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4)
model = RecurrentGemmaForCausalLM(RecurrentGemmaConfig(**sizes, num_key_value_heads=1, lru_width=32)).eval()
for parameter in model.parameters():
    if parameter.dim() > 1:
        torch.nn.init.normal_(parameter, std=0.2)


def first_logits(*prompt):
    """What generate() makes of the prompt's last token [V]."""
    how = dict(max_new_tokens=1, do_sample=False, output_logits=True, return_dict_in_generate=True, pad_token_id=0)
    return model.generate(torch.tensor([prompt]), **how).logits[0][0]


def apart(prompt):
    """How far the logits of a prompt are apart after another prompt has been answered."""
    before = first_logits(*prompt)
    first_logits(7, 8, 9, 10)
    return (first_logits(*prompt) - before).abs().max().item()


short, longer = apart([5]), apart([5, 6])
print(f"one token:  logits up to {first_logits(5).abs().max():.2f} change by {short:.2g} once another prompt has run")
print(f"two tokens: logits up to {first_logits(5, 6).abs().max():.2f} change by {longer:.2g}")
if short == 0 or longer != 0:
    raise SystemExit("this has changed: prompts of one token and of two are treated alike")
PYTHON
