#!/usr/bin/env bash
# A 4-D mask of booleans hides what it should under sdpa, and nothing at all under eager attention.
#
# transformers 5.23.0, torch 2.13.0. A mask [B,1,T,S] is handed on to the attention function as it is. sdpa reads True
# as "may attend"; eager attention adds the mask to the scores, so that True and False become 1 and 0: every token sees
# all that come after it, without a word. Where a mask of one's own goes to eager attention, it has to be numbers: 0
# where a token may attend, torch.finfo(dtype).min where it may not.
#
# Seen (CPU, float32):
#   sdpa : logits up to 0.34 change by 0 with a boolean mask
#   eager: logits up to 0.34 change by 0.11 with a boolean mask
#   eager: the first token attends to the four by 0.48 0.17 0.18 0.17
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import LlamaConfig, LlamaForCausalLM


def llama(kernel):
    sizes = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    return LlamaForCausalLM._from_config(LlamaConfig(**sizes), attn_implementation=kernel).eval()


torch.manual_seed(0)
models = {"sdpa": llama("sdpa"), "eager": llama("eager")}
models["eager"].load_state_dict(models["sdpa"].state_dict())
tokens = torch.tensor([[5, 6, 7, 8]])
allowed = torch.ones(1, 1, 4, 4, dtype=torch.bool).tril()  # [B,1,T,S]
apart = {}
for kernel, model in models.items():
    with torch.no_grad():
        plain = model(tokens).logits
        apart[kernel] = (model(tokens, attention_mask=allowed).logits - plain).abs().max().item()
    print(f"{kernel:5}: logits up to {plain.abs().max():.2f} change by {apart[kernel]:.2g} with a boolean mask")
with torch.no_grad():
    row = models["eager"](tokens, attention_mask=allowed, output_attentions=True).attentions[0][0, 0, 0]  # [S]
print("eager: the first token attends to the four by", *(f"{share:.2f}" for share in row))
if apart["sdpa"] or apart["eager"] < 1e-3 or not row[1:].all():
    raise SystemExit("this has changed: eager attention hides what a boolean mask hides")
PYTHON
