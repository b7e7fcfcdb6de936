#!/usr/bin/env bash
# router_logits can hold more tensors than the model has routers, or fewer: they can't be paired with layers in order.
#
# transformers 5.23.0, torch 2.13.0. Asked for output_router_logits, JetMoE, which has experts in attention and in the
# MLP, returns three tensors a layer: those of attention's router twice, then the MLP's. DeepSeek-V4, whose first layers
# choose experts by a table of token ids, returns only those of the later ones, although all routers compute logits.
# Whoever counts a layer's load, or zips router_logits with the layers, has to look whose they are.
#
# Seen (CPU, float32):
#   jetmoe: 4 layers, 8 routers, router_logits has 12, the first of
#       model.layers.0.self_attention.experts.router
#       model.layers.0.self_attention.experts.router
#       model.layers.0.mlp.router
#       model.layers.1.self_attention.experts.router
#   deepseek_v4: 4 layers, 4 routers, router_logits has 1, the first of
#       model.layers.3.mlp.gate
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    torch==2.13.0 numpy==2.4.6 safetensors==0.8.0 transformers==5.23.0

HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
from transformers import DeepseekV4Config, DeepseekV4ForCausalLM, JetMoeConfig, JetMoeForCausalLM

torch.manual_seed(0)
tokens = torch.tensor([[1, 2, 3, 4, 5]])
sizes = dict(vocab_size=61, hidden_size=32, num_hidden_layers=4, num_experts_per_tok=2)
jetmoe = JetMoeConfig(**sizes, num_key_value_heads=2, kv_channels=8, intermediate_size=48, num_local_experts=4)
deepseek = DeepseekV4Config(
    **sizes, num_attention_heads=4, head_dim=16, q_lora_rank=16, moe_intermediate_size=16, n_routed_experts=4,
    index_n_heads=4, index_head_dim=8, o_groups=2, o_lora_rank=8, bos_token_id=1, eos_token_id=2,
)  # fmt: skip


def whose_logits(model, end, index):
    """For each tensor of router_logits, the router that made it: those whose path has the given end."""
    made = []
    for path, module in model.named_modules():
        if path.endswith(end):
            module.register_forward_hook(lambda _, inputs, output, path=path: made.append((path, output[index])))
    with torch.no_grad():
        returned = model.eval()(tokens, output_router_logits=True).router_logits
    return [next(path for path, logits in made if torch.equal(logits, each)) for each in returned], len(made)


results = {}
for model, end, index in (
    (JetMoeForCausalLM(jetmoe), ".router", 4),
    (DeepseekV4ForCausalLM(deepseek), "mlp.gate", 0),
):
    paths, routers = whose_logits(model, end, index)
    results[model.config.model_type] = len(paths), routers
    print(f"{model.config.model_type}: 4 layers, {routers} routers, router_logits has {len(paths)}, the first of")
    for path in paths[:4]:
        print("   ", path)
if results != {"jetmoe": (12, 8), "deepseek_v4": (1, 4)}:
    raise SystemExit("this has changed: router_logits has another number of tensors")
PYTHON
