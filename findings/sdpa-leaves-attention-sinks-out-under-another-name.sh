#!/usr/bin/env bash
# GPT-OSS refuses sdpa because it can't do sinks, and takes the same function under another name, without its sinks.
#
# transformers 5.23.0, torch 2.13.0. Whether a kernel may run is asked of its name only. A function registered as
# "watched" that hands on to sdpa_attention_forward is taken by any model, and sdpa_attention_forward ignores what it
# doesn't know among its arguments: s_aux, the sinks. Probabilities then sum to 1 where the model's don't, and logits
# are another model's, with nothing logged. Whoever wraps a kernel has to look at all that it is given.
#
# Seen (CPU, float32):
#   sdpa: GptOssForCausalLM does not support an attention implementation through
#       torch.nn.functional.scaled_dot_product_attention yet
#   watched: is given dropout, output_router_logits, position_ids, s_aux, scaling, sliding_window, use_cache
#   watched: logits 0.51 from eager attention's; with sinks that take no share 3e-07
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import AttentionInterface, AttentionMaskInterface, GptOssConfig, GptOssForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

arguments = set()


def watched(*args, **kwargs):
    arguments.update(kwargs)
    return sdpa_attention_forward(*args, **kwargs)


AttentionInterface.register("watched", watched)
AttentionMaskInterface.register("watched", sdpa_mask)
sizes = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
heads = dict(num_key_value_heads=2, head_dim=8, num_local_experts=4, num_experts_per_tok=2)


def gpt_oss(kernel):
    torch.manual_seed(0)
    model = GptOssForCausalLM._from_config(GptOssConfig(**sizes, **heads), attn_implementation=kernel).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


try:
    gpt_oss("sdpa")
    refused = False
except ValueError as error:
    refused = True
    print("sdpa:", str(error).partition(". ")[0])
eager, own = gpt_oss("eager"), gpt_oss("watched")
tokens = torch.tensor([[5, 6, 7, 8]])


def apart():
    with torch.no_grad():
        return (eager(tokens).logits - own(tokens).logits).abs().max().item()


with_sinks = apart()
for model in (eager, own):
    for name, parameter in model.named_parameters():
        if name.endswith("sinks"):
            parameter.data.fill_(-torch.inf)
without = apart()
print(f"watched: is given {', '.join(sorted(arguments))}")
print(f"watched: logits {with_sinks:.2g} from eager attention's; with sinks that take no share {without:.1g}")
if not refused or "s_aux" not in arguments or with_sinks < 1e-3 or without > 1e-4:
    raise SystemExit("this has changed: the sinks act under any name, or no name takes them")
PYTHON
