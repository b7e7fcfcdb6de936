#!/usr/bin/env bash
# torch.nn.TransformerEncoderLayer doesn't call its modules in evaluation, unless somebody hooks one of them.
#
# torch 2.13.0. In evaluation and without gradients the whole layer is one fused operation: none of its submodules is
# called, so that a hook for all modules (register_module_forward_hook) hears of the layer alone. A forward hook on any
# one module inside makes that layer, and no other, run module by module. MultiheadAttention never calls its out_proj,
# either way: it only reads its weight. What doesn't show up in a recording can have run all the same.
#
# Seen (CPU, float32):
#   called, as a hook for all modules hears:
#       2 TransformerEncoderLayer, 1 TransformerEncoder
#   beside a hook of the first layer's linear1:
#       1 MultiheadAttention, 3 Dropout, 2 LayerNorm, 2 Linear, 2 TransformerEncoderLayer, 1 TransformerEncoder
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
from collections import Counter

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

torch.manual_seed(0)
model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2).eval()
inputs = torch.randn(1, 5, 16)  # [B,T,D]


def called():
    """How often a hook for all modules hears of modules of each class."""
    names = Counter()
    hook = register_module_forward_hook(lambda module, *_: names.update([type(module).__name__]))
    with torch.no_grad():
        model(inputs)
    hook.remove()
    return names


def told(names):
    return ", ".join(f"{count} {name}" for name, count in names.items())


alone = called()
own = model.layers[0].linear1.register_forward_hook(lambda *_: None)
beside = called()
own.remove()
print("called, as a hook for all modules hears:")
print("   ", told(alone))
print("beside a hook of the first layer's linear1:")
print("   ", told(beside))
if alone["Linear"] or beside["Linear"] != 2 or "NonDynamicallyQuantizableLinear" in beside:
    raise SystemExit("this has changed: other modules are called than were")
PYTHON
