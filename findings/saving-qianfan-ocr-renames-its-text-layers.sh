#!/usr/bin/env bash
# save_pretrained of Qianfan-OCR puts a word of the vision tower's names into those of the text model's layers.
#
# transformers 5.23.0, torch 2.13.0, safetensors 0.8.0. On reading, transformers takes `encoder` out of every name with
# `encoder.layers`, as the vision tower's have it in files, by a rule that says nothing of which part of the model is
# meant. On saving the rule is turned round: each `layers` of the text model becomes `encoder.layers` too.
# from_pretrained reads such a folder, and one whose text model has plain `layers` as well; whoever else looks for
# `language_model.model.layers.0`, another engine or a converter, finds no layer of the text model.
#
# Seen:
#   text model in memory: model.language_model.layers.0, saved: language_model.model.encoder.layers.0
#   vision tower saved: vision_model.encoder.layers.0
#   read back: equal
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 TRANSFORMERS_VERBOSITY=error "$folder/venv/bin/python" - "$folder/saved" <<'PYTHON'
import re
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import QianfanOCRConfig, QianfanOCRForConditionalGeneration
from transformers.utils import logging

logging.disable_progress_bar()
folder = Path(sys.argv[1])
sizes = dict(hidden_size=32, intermediate_size=48, num_attention_heads=4, num_hidden_layers=1)
text = dict(**sizes, vocab_size=61, num_key_value_heads=2, head_dim=8, pad_token_id=0, bos_token_id=1, eos_token_id=2)
vision = dict(**sizes, image_size=[16, 16], patch_size=[8, 8])
model = QianfanOCRForConditionalGeneration(QianfanOCRConfig(text_config=text, vision_config=vision, image_token_id=5))


def first_layers(names: list[str]) -> list[str]:
    return sorted({found[0] for name in names if (found := re.match(r".*layers\.0", name))})


(in_memory,) = (name for name in first_layers(list(model.state_dict())) if "language" in name)
model.save_pretrained(folder)
with safe_open(folder / "model.safetensors", "pt") as file:
    saved, tower = first_layers(list(file.keys()))
again = QianfanOCRForConditionalGeneration.from_pretrained(folder)
equal = all(torch.equal(weight, again.state_dict()[name]) for name, weight in model.state_dict().items())
print(f"text model in memory: {in_memory}, saved: {saved}")
print(f"vision tower saved: {tower}")
print(f"read back: {'equal' if equal else 'other weights'}")
if saved != "language_model.model.encoder.layers.0" or not equal:
    raise SystemExit("this has changed: the text model's layers are saved under another name, or aren't read back")
PYTHON
