#!/usr/bin/env bash
# What attention makes of padding on the left depends on the kernel: nothing under sdpa, a mean of all values in eager.
#
# transformers 5.23.0, torch 2.13.0. A token of padding before the prompt may attend to nothing, not even to itself.
# sdpa's boolean mask gives it 0; eager attention adds the lowest number of the dtype to all its scores, which makes
# them equal, and so it attends to all tokens alike, also to later ones. Neither gives NaN, and the prompt's own tokens
# agree; what comes of the padding differs from the first layer on, so compare two runs without these rows.
#
# Seen (CPU, float32):
#   sdpa : largest of the heads' outputs at each token 0.00 0.00 0.20 0.14
#   eager: largest of the heads' outputs at each token 0.15 0.15 0.20 0.14
#   logits apart at each token 0.1 0.1 0 4e-08
#   eager: the first padding token attends to the four by 0.25 0.25 0.25 0.25
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
tokens, mask = torch.tensor([[1, 1, 5, 6]]), torch.tensor([[0, 0, 1, 1]])  # padded on the left
entering, logits = {}, {}
for kernel, model in models.items():
    projection = model.model.layers[0].self_attn.o_proj
    projection.register_forward_pre_hook(lambda _, inputs, kernel=kernel: entering.update({kernel: inputs[0]}))
    with torch.no_grad():
        logits[kernel] = model(tokens, attention_mask=mask).logits
    largest = entering[kernel][0].abs().amax(-1)  # [T]
    print(f"{kernel:5}: largest of the heads' outputs at each token", *(f"{each:.2f}" for each in largest))
gap = (logits["sdpa"] - logits["eager"]).abs().amax(-1)[0]  # [T]
print("logits apart at each token", *(f"{each:.1g}" for each in gap))
with torch.no_grad():
    row = models["eager"](tokens, attention_mask=mask, output_attentions=True).attentions[0][0, 0, 0]  # [S]
print("eager: the first padding token attends to the four by", *(f"{share:.2f}" for share in row))
if entering["sdpa"][0, :2].any() or not torch.allclose(row, torch.tensor(0.25)) or gap[2:].max() > 1e-5:
    raise SystemExit("this has changed: a row that is hidden whole is no longer 0 in sdpa and even in eager attention")
PYTHON
