#!/usr/bin/env bash
# Aya Vision and Cohere2 Vision give other logits for text than the Cohere2 model inside them.
#
# transformers 5.23.0, torch 2.13.0. Cohere2ForCausalLM multiplies its logits by logit_scale of its configuration. The
# two classes around it have an lm_head of their own and leave the factor out, although it stands in their text_config.
# Greedy choices stay the same; probabilities, losses and what is sampled do not. A port that heeds the configuration
# seems wrong beside the one, a port that doesn't beside the other.
#
# Seen (CPU, float32, tiny random models with equal weights):
#   AyaVisionForConditionalGeneration: logits 16.00 times those of Cohere2ForCausalLM, logit_scale 0.0625
#       probability of the likeliest next token: 0.0256 instead of 0.0169
#   Cohere2VisionForConditionalGeneration: logits 16.00 times those of Cohere2ForCausalLM, logit_scale 0.0625
#       probability of the likeliest next token: 0.0286 instead of 0.0170
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import (
    AyaVisionConfig,
    AyaVisionForConditionalGeneration,
    Cohere2Config,
    Cohere2ForCausalLM,
    Cohere2VisionConfig,
    Cohere2VisionForConditionalGeneration,
    SiglipVisionConfig,
)

torch.manual_seed(0)
tokens = torch.tensor([[5, 6, 7, 8]])
sizes = dict(hidden_size=32, intermediate_size=48, num_attention_heads=4)
ids = dict(vocab_size=61, pad_token_id=0, bos_token_id=1, eos_token_id=2)
same = []
for make_config, make in (
    (AyaVisionConfig, AyaVisionForConditionalGeneration),
    (Cohere2VisionConfig, Cohere2VisionForConditionalGeneration),
):
    text_config = Cohere2Config(**sizes, **ids, num_hidden_layers=2, num_key_value_heads=2)
    vision_config = SiglipVisionConfig(**sizes, num_hidden_layers=1, image_size=16, patch_size=8)
    whole = make(make_config(text_config=text_config, vision_config=vision_config)).eval()
    text = Cohere2ForCausalLM(whole.config.text_config).eval()
    text.model.load_state_dict(whole.model.language_model.state_dict())
    text.lm_head.load_state_dict(whole.lm_head.state_dict())
    with torch.no_grad():
        logits, expected = whole(input_ids=tokens).logits, text(input_ids=tokens).logits
    same.append(torch.allclose(logits * text.logit_scale, expected, atol=1e-7))
    factor = (logits.norm() / expected.norm()).item()
    shares = [each[0, -1].softmax(-1).max().item() for each in (logits, expected)]
    print(f"{make.__name__}: logits {factor:.2f} times those of {type(text).__name__}, logit_scale {text.logit_scale}")
    print(f"    probability of the likeliest next token: {shares[0]:.4f} instead of {shares[1]:.4f}")
if not all(same) or text.logit_scale == 1:
    raise SystemExit("this has changed: the whole's logits are no longer those of its text model without logit_scale")
PYTHON
