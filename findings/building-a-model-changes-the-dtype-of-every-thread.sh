#!/usr/bin/env bash
# While one thread builds or reads a model in bfloat16, tensors that other threads make are bfloat16 too.
#
# transformers 5.23.0, torch 2.13.0. from_config and from_pretrained set torch's default dtype for as long as the model
# is built. That default belongs to the process, unlike no_grad and autocast, which belong to a thread. So a second
# model being built in float32, a torch.zeros(…) or a torch.tensor(0.5) elsewhere comes out in bfloat16 now and then,
# as timing has it. Say the dtype wherever tensors are made beside a model that loads, or build one model at a time.
#
# Seen:
#   while a model is built: torch.tensor(0.5) is torch.bfloat16
#   while one is read: torch.tensor(0.5) is torch.bfloat16
#   afterwards: torch.tensor(0.5) is torch.float32
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - "$folder/model" <<'PYTHON'
import sys
import threading

import torch
from transformers import LlamaConfig, LlamaForCausalLM

dtypes = []


class Model(LlamaForCausalLM):
    """A Llama in whose making another thread makes a tensor."""

    def __init__(self, config):
        super().__init__(config)
        other = threading.Thread(target=lambda: dtypes.append(torch.tensor(0.5).dtype))
        other.start()
        other.join()


sizes = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
Model._from_config(LlamaConfig(**sizes), dtype=torch.bfloat16).save_pretrained(sys.argv[1])
Model.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
dtypes.append(torch.tensor(0.5).dtype)
for when, dtype in zip(("while a model is built", "while one is read", "afterwards"), dtypes, strict=True):
    print(f"{when}: torch.tensor(0.5) is {dtype}")
if dtypes != [torch.bfloat16, torch.bfloat16, torch.float32]:
    raise SystemExit("this has changed: other threads keep their dtype while a model is built")
PYTHON
