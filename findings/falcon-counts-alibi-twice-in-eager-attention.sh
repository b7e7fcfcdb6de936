#!/usr/bin/env bash
# A Falcon with alibi is another model in eager attention than under sdpa: its position bias is added twice.
#
# transformers 5.23.0, torch 2.13.0. With alibi=True Falcon puts the bias into the mask, whatever the kernel; its eager
# attention adds mask and bias, both divided by the root of the head's size. So is the attention that sdpa's class
# returns with output_attentions=True. Which of the two a port is compared with decides whether it is found right.
#
# Seen (CPU, float32):
#   equal weights: logits up to 0.53, eager attention 0.0057 from sdpa
#   alibi between neighbours: 0.0884 as defined, in eager attention 0.1768 0.1768 0.1768
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
    config = FalconConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True)
    return FalconForCausalLM._from_config(config, attn_implementation=kernel).eval()


torch.manual_seed(0)
sdpa, eager = falcon("sdpa"), falcon("eager")
eager.load_state_dict(sdpa.state_dict())
tokens = torch.tensor([[5, 6, 7, 8]])
with torch.no_grad():
    expected, logits = sdpa(tokens).logits, eager(tokens).logits
    # Without queries the scores are alibi alone; each row of the fused weight's first 32 makes a query's element.
    eager.transformer.h[0].self_attention.query_key_value.weight[:32] = 0
    row = eager(tokens, output_attentions=True).attentions[0][0, 0, -1]  # [S]
slope, step = 2**-2 / 8**0.5, row.log().diff()  # ALiBi's first slope of four, divided by the root of the head's size
apart = (expected - logits).abs().max().item()
print(f"equal weights: logits up to {expected.abs().max():.2f}, eager attention {apart:.2g} from sdpa")
print(f"alibi between neighbours: {slope:.4f} as defined, in eager attention", *(f"{each:.4f}" for each in step))
if apart < 1e-4 or not torch.allclose(step, torch.tensor(2 * slope), rtol=1e-3):
    raise SystemExit("this has changed: eager attention no longer adds alibi twice")
PYTHON
