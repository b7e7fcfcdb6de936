#!/usr/bin/env bash
# A model read with from_pretrained gives other last bits than the very model that was saved, with equal weights.
#
# transformers 5.23.0, safetensors 0.8.0, torch 2.13.0, CPU. Where the dtype needs no change, from_pretrained leaves the
# weights as views of the mapped file. A safetensors header ends at any multiple of 8 bytes, while torch's own tensors
# begin at a multiple of 64, and MKL's matrix products may add up in another order for a matrix that lies askew. A
# reference made in memory and the same reference read back can so differ although every weight is equal to the bit:
# copy the parameters (p.data = p.data.clone()) before comparing bits.
#
# Seen (x86-64 with AVX-512, torch's CPU build; the offset follows from the header's length):
#   saved model:  weights begin at 0 bytes behind a multiple of 64
#   loaded model: weights begin at 24 bytes behind a multiple of 64
#   weights equal to the bit: True, logits equal to the bit: False
#   loaded, parameters copied: logits equal to the bit: True
# The places of the weights are checked; whether logits differ depends on the processor and is only printed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - "$folder/model" <<'PYTHON'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
torch.manual_seed(0)
sizes = dict(vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4)
saved = LlamaForCausalLM(LlamaConfig(**sizes)).eval()
saved.save_pretrained(sys.argv[1])
loaded = LlamaForCausalLM.from_pretrained(sys.argv[1]).eval()


def places(model):
    return {weight.data_ptr() % 64 for weight in model.parameters()}


def logits(model):
    with torch.no_grad():
        return torch.cat([model(torch.tensor([[token]])).logits for token in range(128)])  # [B,T=1,V]


print("saved model:  weights begin at", *sorted(places(saved)), "bytes behind a multiple of 64")
print("loaded model: weights begin at", *sorted(places(loaded)), "bytes behind a multiple of 64")
equal = all(torch.equal(a, b) for a, b in zip(saved.parameters(), loaded.parameters(), strict=True))
print(f"weights equal to the bit: {equal}, logits equal to the bit: {torch.equal(logits(saved), logits(loaded))}")
askew = places(loaded)
for weight in loaded.parameters():
    weight.data = weight.data.clone()
print(f"loaded, parameters copied: logits equal to the bit: {torch.equal(logits(saved), logits(loaded))}")
if places(saved) != {0} or askew == {0}:
    raise SystemExit("this has changed: loaded weights lie where torch would have put them")
PYTHON
