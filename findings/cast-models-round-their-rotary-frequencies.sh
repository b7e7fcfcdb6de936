#!/usr/bin/env bash
# A model cast to bfloat16 turns its queries and keys by other angles than the same weights read in bfloat16.
#
# transformers 5.23.0, torch 2.13.0. from_pretrained(dtype=torch.bfloat16) keeps the rotary frequencies, a buffer, in
# float32. model.bfloat16() rounds them like any other tensor, and casting back to float32 doesn't bring them back. No
# weight differs and no file shows it: an angle's error grows with the position, up to a radian and more within a usual
# context. Compare models that were made the same way.
#
# Seen (CPU):
#   weights equal to the bit: True; frequencies of the cast model torch.bfloat16, of the read one torch.float32
#   position 100: angles up to 0.02 radians apart
#   position 1000: angles up to 0.18 radians apart
#   position 8000: angles up to 1.43 radians apart
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

torch.manual_seed(0)
sizes = dict(vocab_size=61, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2)
cast = LlamaForCausalLM(LlamaConfig(**sizes, max_position_embeddings=8192)).bfloat16().eval()
cast.save_pretrained(sys.argv[1])
read = LlamaForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16).eval()
equal = all(torch.equal(a, b) for a, b in zip(cast.parameters(), read.parameters(), strict=True))
dtypes = [model.model.rotary_emb.inv_freq.dtype for model in (cast, read)]
print(f"weights equal to the bit: {equal}; frequencies of the cast model {dtypes[0]}, of the read one {dtypes[1]}")
frequencies = [model.float().model.rotary_emb.inv_freq for model in (cast, read)]
worst = (frequencies[0] - frequencies[1]).abs().max().item()
for position in (100, 1000, 8000):
    print(f"position {position}: angles up to {worst * position:.2f} radians apart")
if not equal or dtypes != [torch.bfloat16, torch.float32] or worst == 0:
    raise SystemExit("this has changed: both ways to bfloat16 leave the frequencies alike")
PYTHON
