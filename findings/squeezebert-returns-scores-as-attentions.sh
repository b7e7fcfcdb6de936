#!/usr/bin/env bash
# What SqueezeBERT returns as attentions are scores before the softmax, not probabilities.
#
# transformers 5.23.0, torch 2.13.0. With output_attentions=True every other encoder gives the probabilities that
# weigh the values: rows of a head sum to 1 and nothing is negative. SqueezeBERT gives the masked scores that go into
# the softmax, under the same name and in the same shape. Whoever averages, thresholds or draws attentions over several
# models takes scores for shares of attention.
#
# Seen (CPU, float32):
#   sums of a head's rows: ['-0.0337', '-0.0097', '-0.0018', '0.0433']
#   smallest element: -0.0405
#   softmax of them: ['1.0000', '1.0000', '1.0000', '1.0000']
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import SqueezeBertConfig, SqueezeBertModel

torch.manual_seed(0)
groups = dict.fromkeys(
    ("q_groups", "k_groups", "v_groups", "post_attention_groups", "intermediate_groups", "output_groups"), 1
)
config = SqueezeBertConfig(
    vocab_size=61, hidden_size=32, embedding_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48,
    **groups,
)  # fmt: skip
tokens = torch.tensor([[1, 2, 3, 4]])
with torch.no_grad():
    attentions = SqueezeBertModel(config).eval()(tokens, output_attentions=True).attentions[0]  # [B,H,T,T]
sums = attentions[0, 0].sum(-1)
print("sums of a head's rows:", [f"{value:.4f}" for value in sums.tolist()])
print(f"smallest element: {attentions.min().item():.4f}")
print("softmax of them:", [f"{value:.4f}" for value in attentions.softmax(-1)[0, 0].sum(-1).tolist()])
if attentions.min() >= 0 or torch.allclose(sums, torch.ones(4)):
    raise SystemExit("this has changed: the attentions are probabilities")
PYTHON
